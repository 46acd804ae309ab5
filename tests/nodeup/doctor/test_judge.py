"""The doctor never fails, whatever it sees; and it ranks causes before symptoms."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.diagnosis import Diagnosis, Severity, Unknown, diagnose
from nodeup.doctor.rules import RULES
from nodeup.doctor.view import (
    CertificateFile,
    CertificatesView,
    ClockSample,
    CloudView,
    Condition,
    ConfigurationView,
    DiskView,
    Endpoint,
    Filesystem,
    Listener,
    LogLine,
    LogsView,
    MachineView,
    Name,
    NetworkView,
    NodeView,
    Program,
    RegistryView,
    ServicesView,
    Setting,
    TimeView,
    UnitState,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HEALTHY = NodeView(now=NOW)
TEXT = st.text(max_size=12) | st.sampled_from(
    ["", "done", "failed", "kubelet.service", "no space left on device", "203.0.113.123", "systemd"]
)
MOMENT = st.datetimes(timezones=st.just(UTC))


def observed(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return strategy | st.builds(Unknown, TEXT)


def many(made: type, /, **given: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return observed(st.lists(st.builds(made, **given), max_size=3).map(tuple))


TEXTS = observed(st.lists(TEXT, max_size=3).map(tuple))
SOME = observed(TEXT)
BOOLEAN = observed(st.booleans())
UNIT = dict.fromkeys(("name", "load", "active", "sub", "result", "last_line"), TEXT) | {"restarts": st.integers()}
ENDPOINTS = many(Endpoint, purpose=TEXT, address=TEXT, problem=TEXT)

VIEWS = st.builds(
    NodeView,
    now=MOMENT,
    disk=st.builds(
        DiskView,
        filesystems=many(
            Filesystem,
            mount_point=TEXT,
            **dict.fromkeys(("size_bytes", "available_bytes", "inodes", "available_inodes"), st.integers()),
        ),
        read_only=TEXTS,
    ),
    time=st.builds(TimeView, samples=many(ClockSample, server=TEXT, ahead=st.timedeltas()), is_synchronized=BOOLEAN),
    network=st.builds(
        NetworkView,
        names=many(Name, name=TEXT, addresses=st.lists(TEXT, max_size=2).map(tuple)),
        placeholders_in_hosts=TEXTS,
        has_default_route=BOOLEAN,
        endpoints=ENDPOINTS,
    ),
    cloud=st.builds(CloudView, cloud=SOME, identity=SOME, remembered_identity=SOME),
    registry=st.builds(RegistryView, endpoints=ENDPOINTS),
    machine=st.builds(
        MachineView,
        architecture=SOME,
        programs=many(Program, path=TEXT, architecture=TEXT),
        dpkg_audit=observed(st.text()),
        cgroup_version=observed(st.integers()),
        kubelet_cgroup_driver=SOME,
        containerd_uses_systemd_cgroup=observed(st.none() | st.booleans()),
        swaps=TEXTS,
        fail_swap_on=observed(st.none() | st.booleans()),
        missing_modules=TEXTS,
        wrong_settings=many(Setting, name=TEXT, wanted=TEXT, found=TEXT),
    ),
    configuration=st.builds(
        ConfigurationView,
        boot_problem=SOME,
        store=observed(st.none() | st.builds(Endpoint, purpose=TEXT, address=TEXT, problem=TEXT)),
        wanted_hash=SOME,
        stored_hash=SOME,
        pending=TEXTS,
        hold=SOME,
    ),
    certificates=st.builds(
        CertificatesView,
        files=many(
            CertificateFile,
            path=TEXT,
            not_after=MOMENT,
            renew_at=MOMENT,
            is_of_cluster_ca=st.none() | st.booleans(),
            has_own_key=st.none() | st.booleans(),
        ),
        unreadable=TEXTS,
    ),
    services=st.builds(
        ServicesView,
        nodeup_state=SOME,
        nodeup_message=SOME,
        nodeup_hint=SOME,
        units=many(UnitState, **UNIT),
        has_containerd_socket=BOOLEAN,
        kubelet_health=SOME,
        listeners=many(Listener, port=st.sampled_from([3987, 10250, 1]), process=TEXT),
        conditions=many(Condition, kind=TEXT, status=TEXT, reason=TEXT, message=TEXT),
    ),
    logs=st.builds(LogsView, lines=many(LogLine, unit=TEXT, text=TEXT)),
)


@settings(max_examples=300, deadline=None)
@given(view=VIEWS)
def test_it_never_fails_and_every_finding_says_what_was_seen_and_what_to_do(view: NodeView) -> None:
    diagnosis = diagnose(RULES, view)

    assert list(diagnosis.lines)
    assert all(one.found.says and one.found.fix for one in diagnosis.findings)
    severities = [one.found.severity for one in diagnosis.findings]
    assert severities == sorted(severities)


def test_nothing_seen_is_nothing_found() -> None:
    assert diagnose(RULES, HEALTHY) == Diagnosis(findings=(), unseen=(), rules=len(RULES))


def test_what_could_not_be_looked_at_is_said_and_is_no_finding() -> None:
    view = replace(HEALTHY, disk=DiskView(filesystems=Unknown("cannot run df")))

    assert diagnose(RULES, view).unseen == (("disk.filesystems", "cannot run df"),)
    assert not diagnose(RULES, view).findings


def found(view: NodeView) -> list[str]:
    return [one.rule for one in diagnose(RULES, view).findings]


def test_a_wrong_clock_comes_before_the_certificate_that_it_makes_invalid() -> None:
    view = replace(
        HEALTHY,
        time=TimeView(samples=(ClockSample(server="s", ahead=timedelta(hours=2)),)),
        logs=LogsView(lines=(LogLine(unit="kubelet", text="x509: certificate has expired or is not yet valid"),)),
    )

    assert found(view) == ["ND010", "ND106"]


def test_of_several_clocks_one_that_is_wrong_itself_is_not_believed() -> None:
    samples = tuple(ClockSample(server=str(hours), ahead=timedelta(hours=hours)) for hours in (0, 0, 9))

    assert found(replace(HEALTHY, time=TimeView(samples=samples))) == []


def test_a_placeholder_is_named_with_who_must_act() -> None:
    view = replace(HEALTHY, network=NetworkView(names=(Name(name="kops-controller.internal.c", addresses=("203.0.113.123",)),)))

    (finding,) = diagnose(RULES, view).findings

    assert finding.rule == "ND031"
    assert "control plane has not published" in finding.found.says
    assert "dns-controller" in finding.found.fix


def test_swap_is_no_finding_where_kubelet_was_told_of_it() -> None:
    on = MachineView(swaps=("/dev/vdb",), fail_swap_on=None)

    assert found(replace(HEALTHY, machine=on)) == ["ND054"]
    assert found(replace(HEALTHY, machine=replace(on, fail_swap_on=False))) == []


def test_our_own_daemon_on_its_port_is_no_finding() -> None:
    mine, other = Listener(port=10250, process="kubelet"), Listener(port=3987, process="python3")
    wrapped = Listener(port=10248, process="wrapper", unit="kubelet.service")

    assert found(replace(HEALTHY, services=ServicesView(listeners=(mine, wrapped)))) == []
    assert found(replace(HEALTHY, services=ServicesView(listeners=(mine, other)))) == ["ND070"]


def test_a_full_disk_is_critical_before_it_is_quite_full() -> None:
    def disk(part: float) -> NodeView:
        one = Filesystem(mount_point="/", size_bytes=1000, available_bytes=int(1000 * part), inodes=0, available_inodes=0)
        return replace(HEALTHY, disk=DiskView(filesystems=(one,)))

    assert found(disk(0.5)) == []
    assert [one.found.severity for one in diagnose(RULES, disk(0.12)).findings] == [Severity.WARNING]
    assert [one.found.severity for one in diagnose(RULES, disk(0.05)).findings] == [Severity.CRITICAL]


def test_a_certificate_between_its_renewal_and_its_end_is_a_warning() -> None:
    one = CertificateFile(path="/srv/kubernetes/kubelet-server.crt", not_after=NOW + timedelta(days=9), renew_at=NOW - timedelta(days=1))

    (finding,) = diagnose(RULES, replace(HEALTHY, certificates=CertificatesView(files=(one,)))).findings

    assert (finding.rule, finding.found.severity) == ("ND062", Severity.WARNING)
    assert "ends in 9d" in finding.found.says


def test_ids_are_unique_and_the_documentation_lists_every_rule() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs/nodeup.md").read_text()

    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert f"| {rule.id} | {rule.area.value if rule.area else ''} | {rule.title} |" in text


def test_every_field_of_the_view_may_be_unknown() -> None:
    for area in fields(NodeView):
        part = getattr(HEALTHY, area.name)
        if area.name != "now":
            blind = replace(part, **{one.name: Unknown("blind") for one in fields(part)})
            diagnosis = diagnose(RULES, replace(HEALTHY, **{area.name: blind}))
            assert len(diagnosis.unseen) == len(fields(part))


def test_half_configured_packages_are_named() -> None:
    audit = "The following packages are only half configured, probably due to problems\n hostname   utility\n bash       shell\n"

    (finding,) = diagnose(RULES, replace(HEALTHY, machine=MachineView(dpkg_audit=audit))).findings

    assert finding.found.evidence == "dpkg --audit: hostname bash"


def test_only_kubelets_own_file_systems_make_it_evict_pods() -> None:
    def says(mount_point: str) -> str:
        one = Filesystem(mount_point=mount_point, size_bytes=1000, available_bytes=1, inodes=0, available_inodes=0)
        (finding,) = diagnose(RULES, replace(HEALTHY, disk=DiskView(filesystems=(one,)))).findings
        return finding.found.says

    assert "evicts pods" in says("/")
    assert says("/run") == "/run is full: what is written there fails"
