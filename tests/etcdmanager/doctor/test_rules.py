from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.diagnosis import Severity, Unknown, diagnose
from etcdmanager.backups.freshness import Level, Verdict
from etcdmanager.commands.cluster_status import ClusterReport, Problem
from etcdmanager.control.commands import RestoreCommand
from etcdmanager.control.pause import Pause
from etcdmanager.control.store import BadObject, ControlView, QueuedCommand
from etcdmanager.doctor.repair import living_spec
from etcdmanager.doctor.rules import RULES
from etcdmanager.doctor.view import (
    CertificateSeen,
    DiskSpeed,
    DoctorView,
    Filesystem,
    LastDrill,
    Marker,
    NodeSeen,
    ProbeStep,
    StatusSeen,
    StoreView,
    UnitSeen,
    VolumeProblem,
)
from etcdmanager.leadership.claim import LockRecord
from etcdmanager.spec import ClusterSpec

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SPEC = ClusterSpec(member_count=3, etcd_version="3.5.16")
DOCS = Path(__file__).resolve().parents[3] / "docs" / "etcd-manager.md"
GIB = 1 << 30


def ago(**duration: float) -> datetime:
    return NOW - timedelta(**duration)


def row(name: str, **changes: object) -> dict[str, object]:
    return {
        "name": name,
        "answers": True,
        "serves": True,
        "role": "voter",
        "quarantined": False,
        "version": "3.5.16",
        "raftIndex": 500,
        "dbSizeBytes": GIB,
        "dbInUseBytes": GIB // 2,
        "quotaBytes": 8 * GIB,
        "problem": "",
        **changes,
    }


def cluster(*rows: dict[str, object], **changes: object) -> dict[str, object]:
    return {
        "phase": "Running",
        "hasQuorum": True,
        "raftLeader": "a",
        "voters": 3,
        "wanted": {"members": 3, "version": "3.5.16"},
        "members": list(rows or (row("a"), row("b"), row("c"))),
        "alarms": [],
        "hashes": {"odd": []},
        **changes,
    }


def report(told: Mapping[str, object] | None = None, **changes: object) -> ClusterReport:
    whole = ClusterReport(
        etcd="main",
        told_by="a",
        told_at=ago(seconds=20),
        message="",
        cluster=cluster() if told is None else told,
        problems=(),
        created=True,
        leader="a",
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


LOCK = LockRecord(
    holder="a", instance="x", epoch=4, renewed_at=ago(seconds=2), expires_at=NOW + timedelta(seconds=13), acquired_at=ago(hours=5)
)
EMPTY = ControlView(commands=(), requests=(), bad=())
STORE = StoreView(
    url="s3://b/c",
    probe=tuple(ProbeStep(name=name) for name in ("write", "read", "list", "delete")),
    clock_ahead=timedelta(seconds=0.4),
    teller_ahead=timedelta(seconds=-0.7),
    spec=SPEC,
    marker=Marker.PRESENT,
    lock=LOCK,
    report=report(),
    control=EMPTY,
    backups=Verdict(level=Level.OK, message="good", age=timedelta(minutes=9)),
    leaderships=(ago(minutes=50),),
    drill=LastDrill(at=ago(days=3), backup="x"),
)
CERTIFICATE = CertificateSeen(
    path="/p/me.crt",
    role="etcd",
    subject="CN=a",
    issuer="CN=ca",
    not_before=ago(days=10),
    not_after=NOW + timedelta(days=700),
    names=("a",),
    is_of_its_ca=True,
    has_own_key=True,
)
DISK = Filesystem(
    mount_point="/mnt/main", device="/dev/vdb", read_only=False, size_bytes=100 * GIB, free_bytes=90 * GIB, inodes=1000, free_inodes=900
)
STATUS = StatusSeen(updated=ago(seconds=5), state="running", message="leads", restarts=0, last_exit="")
NODE = NodeSeen(
    volume=None,
    filesystem=DISK,
    data_dir="/mnt/main",
    data_mode=0o700,
    state="",
    certificates=(CERTIFICATE,),
    damaged_certificates=(),
    etcds=("3.5.16",),
    unit=UnitSeen(active="active", sub="running", restarts=0),
    status=STATUS,
    stale_hosts=(),
    is_synchronized=True,
    speed=DiskSpeed(fsync_p99=0.004, commit_p99=0.010),
)
GOOD = DoctorView(now=NOW, etcd="main", store=STORE, node=NODE)


def in_store(**changes: object) -> DoctorView:
    return replace(GOOD, store=replace(STORE, **changes))  # type: ignore[arg-type]


def on_node(**changes: object) -> DoctorView:
    return replace(GOOD, node=replace(NODE, **changes))  # type: ignore[arg-type]


def told(*rows: dict[str, object], **changes: object) -> DoctorView:
    return in_store(report=report(cluster(*rows, **changes)))


def waiting(code: str) -> DoctorView:
    return in_store(report=report(problems=(Problem(reason=f"{code}: because", hint=""),)))


def queued(age: timedelta) -> DoctorView:
    command = RestoreCommand(name="c", backup="b", spec=SPEC, queued_at=NOW - age)
    return in_store(control=replace(EMPTY, commands=(QueuedCommand(command=command, claim=None, receipt=False, failed=False),)))


CASES = {
    "EM001": on_node(volume=VolumeProblem(code="volume-not-mounted", text="x", hint="")),
    "EM002": on_node(filesystem=replace(DISK, read_only=True)),
    "EM003": on_node(filesystem=replace(DISK, free_bytes=2 * GIB)),
    "EM004": on_node(filesystem=replace(DISK, free_inodes=10)),
    "EM005": on_node(data_mode=0o755),
    "EM006": on_node(state="its 3 bytes do not decode"),
    "EM010": replace(GOOD, store=StoreView(url="s3://b/c", control=Unknown("no route to host"))),
    "EM011": in_store(probe=(ProbeStep(name="write"), ProbeStep(name="delete", error="403", denied=True))),
    "EM012": in_store(teller_ahead=timedelta(seconds=40)),
    "EM013": on_node(is_synchronized=False),
    "EM021": in_store(marker=Marker.MISSING),
    "EM022": in_store(spec=Unknown("line 1: not valid JSON")),
    "EM023": queued(timedelta(minutes=11)),
    "EM025": in_store(control=replace(EMPTY, bad=(BadObject(key="control/x", reason="no JSON"),))),
    "EM026": in_store(control=replace(EMPTY, pause=Pause(until=NOW + timedelta(hours=1), by="root@a", since=NOW))),
    "EM030": in_store(lock=replace(LOCK, holder="other")),
    "EM031": in_store(lock=replace(LOCK, expires_at=ago(minutes=5)), report=report(told_at=ago(minutes=5))),
    "EM032": in_store(report=report(told_at=ago(minutes=10))),
    "EM033": in_store(leaderships=tuple(ago(minutes=10 * n) for n in range(5))),
    "EM034": waiting("other-incarnation"),
    "EM040": told(row("a"), row("b", serves=False), row("c", serves=False), hasQuorum=False),
    "EM041": told(row("a"), row("b"), row("c", serves=False, answers=False, problem="silent")),
    "EM042": told(row("a"), row("b"), row("c", quarantined=True)),
    "EM043": told(alarms=[{"member": "a", "alarm": "NOSPACE"}]),
    "EM044": told(hashes={"odd": ["c"]}),
    "EM045": told(row("a"), row("b"), row("c", dbSizeBytes=7 * GIB, dbInUseBytes=7 * GIB)),
    "EM046": told(row("a"), row("b"), row("c", version="3.5.30")),
    "EM047": told(row("a"), row("b"), row("c", role="learner"), voters=1, wanted={"members": 3, "version": "3.5.16"}),
    "EM048": told(row("a"), row("b"), row("c"), row("d"), voters=4),
    "EM049": told(row("a", raftIndex=900_000), row("b", raftIndex=900_000), row("c")),
    "EM050": in_store(backups=Verdict(level=Level.CRITICAL, message="there are no backups", age=None)),
    "EM051": waiting("deltas-transient"),
    "EM052": in_store(drill=None),
    "EM060": on_node(damaged_certificates=("/p/x.crt: no PEM",)),
    "EM061": on_node(certificates=(replace(CERTIFICATE, not_after=ago(days=1)),)),
    "EM062": on_node(certificates=(replace(CERTIFICATE, role="ca", not_after=NOW + timedelta(days=60)),)),
    "EM063": on_node(certificates=(replace(CERTIFICATE, missing_names=("10.0.0.4",)),)),
    "EM064": on_node(certificates=(replace(CERTIFICATE, has_own_key=False),)),
    "EM070": on_node(etcds=("3.4.23", "3.5.1")),
    "EM071": on_node(unit=UnitSeen(active="failed", sub="failed", restarts=3)),
    "EM072": on_node(status=replace(STATUS, updated=ago(minutes=9))),
    "EM074": on_node(stale_hosts=("etcd-b.x: has nothing, answers at 10.0.0.9",)),
    "EM073": on_node(speed=DiskSpeed(fsync_p99=0.080, commit_p99=None)),
}


def test_a_good_cluster_has_no_finding() -> None:
    assert diagnose(RULES, GOOD).findings == ()


@pytest.mark.parametrize("rule", CASES)
def test_each_fault_is_found_by_its_rule_and_first(rule: str) -> None:
    found = diagnose(RULES, CASES[rule]).findings

    assert found[0].rule == rule
    assert all(finding.found.evidence and finding.found.fix for finding in found)
    assert len({finding.rule for finding in found}) <= 2


def test_every_rule_has_a_case_or_is_known_to_have_none() -> None:
    assert {rule.id for rule in RULES} - set(CASES) == {"EM024"}


def test_the_page_lists_all_rules_as_they_are() -> None:
    listed = re.findall(r"^\| `(EM\d{3})` \| ([^|]+) \|", DOCS.read_text(), re.MULTILINE)

    assert [(rule, title.strip()) for rule, title in listed] == [(rule.id, rule.title) for rule in RULES]


def test_ids_are_unique_and_findings_come_worst_first() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    several = replace(
        GOOD,
        store=CASES["EM052"].store,
        node=replace(NODE, data_mode=0o755, filesystem=replace(DISK, read_only=True), is_synchronized=False),
    )
    severities = [finding.found.severity for finding in diagnose(RULES, several).findings]
    assert severities == sorted(severities)
    assert severities[0] is Severity.CRITICAL


scalars = st.none() | st.booleans() | st.integers(-5, 10**13) | st.text(max_size=5)
documents = st.dictionaries(
    st.sampled_from(["phase", "hasQuorum", "voters", "wanted", "members", "alarms", "hashes", "raftLeader"]),
    scalars
    | st.lists(scalars, max_size=2)
    | st.lists(
        st.dictionaries(st.sampled_from(["name", "serves", "role", "quotaBytes", "raftIndex", "version", "member", "alarm"]), scalars),
        max_size=3,
    )
    | st.dictionaries(st.sampled_from(["members", "odd", "version"]), scalars | st.lists(scalars, max_size=2)),
)
unknown = st.builds(Unknown, st.text(max_size=5))


@given(
    documents, st.booleans(), st.sampled_from(["spec", "marker", "lock", "report", "control", "backups", "drill", "leaderships", "probe"])
)
def test_a_diagnosis_never_fails_whatever_was_told_and_whatever_is_unknown(told_it: dict[str, object], fresh: bool, missing: str) -> None:
    seen = replace(STORE, report=report(told_it, told_at=ago(seconds=5) if fresh else None))
    view = replace(GOOD, store=replace(seen, **{missing: Unknown("away")}))  # type: ignore[arg-type]

    assert all(finding.found.says for finding in diagnose(RULES, view).findings)
    assert diagnose(RULES, replace(view, node=NodeSeen())).rules == len(RULES)


def test_what_could_not_be_looked_at_is_said_and_what_nobody_asked_for_is_not() -> None:
    found = diagnose(RULES, replace(GOOD, store=replace(STORE, drill=Unknown("503")), node=NodeSeen()))

    assert found.unseen == (("store.drill", "503"),)


@pytest.mark.parametrize(
    "view",
    [
        told(row("a"), row("b"), row("c", version="3.5.30")),
        told(row("a"), row("b"), hasQuorum=True),
        told(hasQuorum=False),
        in_store(report=report(told_at=ago(hours=1))),
        in_store(report=Unknown("x")),
    ],
)
def test_a_spec_is_not_guessed_from_a_cluster_that_is_not_whole(view: DoctorView) -> None:
    assert living_spec(view) is None


def test_a_whole_cluster_is_its_own_spec() -> None:
    assert living_spec(GOOD) == SPEC
