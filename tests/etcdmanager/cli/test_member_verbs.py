"""What a roller and an operator are told and asked about single members."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.errors import NotFoundError
from agents.exit_codes import ExitCode
from agents.stores.local import LocalStore
from agents.timestamps import format_timestamp
from etcdmanager.cli import main_with
from etcdmanager.commands.cluster_status import ClusterReport, parse_report
from etcdmanager.commands.member_advice import best_follower, safe_to_stop
from etcdmanager.control.member_requests import MemberAnswer, MemberRequest, MemberRequests, MemberVerb
from etcdmanager.control.store import ControlStore
from etcdmanager.spec import ClusterSpec

NOW = datetime.now(UTC)
Run = Callable[..., tuple[int, str, str]]


def row(name: str, **changes: object) -> dict[str, object]:
    return {"name": name, "answers": True, "serves": True, "role": "voter", "quarantined": False, "raftIndex": 7, "revision": 50, **changes}


def document(*rows: Mapping[str, object], told_at: datetime = NOW, **cluster: object) -> bytes:
    serving = sum(1 for r in rows if r["serves"] and r["role"] == "voter")
    told = {
        "phase": "Running",
        "wanted": {"members": 3, "version": "3.5.16"},
        "raftLeader": "etcd-a",
        "hasQuorum": serving >= 2,
        "voters": 3,
        "healthyVoters": serving,
        "members": list(rows),
        **cluster,
    }
    details = {"cluster": told, "member": {"id": "etcd-a"}}
    return json.dumps({"updated": format_timestamp(told_at), "message": "leads", "waiting": [], "details": details}).encode()


def report(*rows: Mapping[str, object], told_at: datetime = NOW, **cluster: object) -> ClusterReport:
    return parse_report(document(*rows, told_at=told_at, **cluster), where="x", etcd="main", created=True, leader="etcd-a")


ALL = (row("etcd-a"), row("etcd-b", raftIndex=9), row("etcd-c"))


def test_one_of_three_may_stop_and_the_raft_leader_is_named() -> None:
    assert safe_to_stop(report(*ALL), "etcd-b", NOW).safe
    advice = safe_to_stop(report(*ALL), "etcd-a", NOW)
    assert advice.safe
    assert "move-leader" in advice.reason


def test_a_second_one_may_not_but_the_broken_one_may() -> None:
    broken = report(row("etcd-a"), row("etcd-b"), row("etcd-c", serves=False))
    assert safe_to_stop(broken, "etcd-a", NOW).code == "S4-stop-costs-quorum"
    assert safe_to_stop(broken, "etcd-c", NOW).safe


def test_nobody_may_stop_while_another_is_on_its_way_or_nobody_told_lately() -> None:
    assert safe_to_stop(report(row("etcd-a"), row("etcd-b"), row("etcd-c", quarantined=True)), "etcd-a", NOW).passing
    old = safe_to_stop(report(*ALL, told_at=NOW - timedelta(minutes=5)), "etcd-a", NOW)
    assert (old.code, old.passing) == ("nobody-told-lately", True)
    assert safe_to_stop(report(*ALL, phase="Restoring"), "etcd-a", NOW).code == "cluster-changing"


def test_a_name_that_nobody_knows_is_no_safe_machine() -> None:
    with pytest.raises(NotFoundError, match="known: etcd-a, etcd-b, etcd-c"):
        safe_to_stop(report(*ALL), "etcd-x", NOW)


def test_one_of_two_may_leave_for_good_though_it_may_not_stop() -> None:
    two = report(row("etcd-a"), row("etcd-b"), voters=2)
    assert not safe_to_stop(two, "etcd-b", NOW).safe
    assert safe_to_stop(two, "etcd-b", NOW, leaves=True).safe


def test_the_follower_that_is_furthest_ahead_leads_next() -> None:
    assert best_follower(report(*ALL)) == "etcd-b"
    with pytest.raises(NotFoundError):
        best_follower(report(row("etcd-a")))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    found = LocalStore(tmp_path / "prod.example.com/backups/etcd/main")
    ControlStore(found).write_spec(ClusterSpec(member_count=3, etcd_version="3.5.16"))
    found.write("control/_status.json", document(*ALL, told_at=datetime.now(UTC)))
    return found


@pytest.fixture
def run(store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    del store
    monkeypatch.delenv("KOPS_STATE_STORE", raising=False)
    monkeypatch.delenv("KOPS_CLUSTER_NAME", raising=False)

    def main(*words: str) -> tuple[int, str, str]:
        code = main_with([*words, "--backup-store", str(tmp_path / "prod.example.com/backups/etcd/main")])
        told = capsys.readouterr()
        return int(code), told.out, told.err

    return main


def test_a_roller_gets_its_answer_as_an_exit_code(run: Run, store: LocalStore) -> None:
    assert run("members", "--safe-to-stop", "etcd-b")[0] == ExitCode.OK
    store.write("control/_status.json", document(row("etcd-a"), row("etcd-b"), row("etcd-c", serves=False), told_at=datetime.now(UTC)))
    code, told, _ = run("members", "--safe-to-stop", "etcd-b", "--json")
    assert code == ExitCode.REFUSED
    assert json.loads(told)["code"] == "S4-stop-costs-quorum"
    store.write("control/_status.json", document(*ALL, told_at=datetime.now(UTC) - timedelta(hours=1)))
    assert run("members", "--safe-to-stop", "etcd-b")[0] == ExitCode.FINDING
    assert run("members", "--safe-to-stop", "etcd-x")[0] == ExitCode.NOT_FOUND


def test_replacing_is_planned_first_and_needs_the_typed_name(run: Run, store: LocalStore) -> None:
    code, told, _ = run("replace-member", "main", "etcd-a")
    assert code == ExitCode.OK
    assert "move raft's lead away from etcd-a" in told
    assert "Nothing has been changed." in told
    assert run("replace-member", "etcd-a", "--yes", "--cluster", "test.example.com")[0] == ExitCode.REFUSED
    assert ControlStore(store).observe().member_requests == ()


def test_a_request_waits_for_its_answer_and_a_rule_s_refusal_is_an_exit_code(
    run: Run, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[MemberRequest] = []

    def answered(requests: MemberRequests, request: MemberRequest) -> None:
        asked.append(request)
        code = "" if request.verb is MemberVerb.MOVE_LEADER else "no-peer-to-add"
        requests.answer(MemberAnswer(id=request.id, answered_at=NOW, text="so it is", code=code))

    monkeypatch.setattr(MemberRequests, "ask", answered)
    assert run("move-leader")[0] == ExitCode.OK
    code, _, told = run("replace-member", "etcd-b", "--yes", "--cluster", "prod.example.com", "--reason", "INC-1")
    assert code == ExitCode.REFUSED
    assert "no-peer-to-add" in told
    assert [(r.verb, r.member) for r in asked] == [(MemberVerb.MOVE_LEADER, "etcd-b"), (MemberVerb.REPLACE, "etcd-b")]


def test_a_request_and_its_answer_stand_in_the_store_and_a_bad_one_stops_nothing(store: LocalStore) -> None:
    control = ControlStore(store)
    request = MemberRequest(id="r1", verb=MemberVerb.REMOVE, member="etcd-b", requested_by="me", requested_at=NOW.replace(microsecond=0))
    control.member_requests.ask(request)
    store.write("control/_member_requests/bad.json", b'{"verb": "sing"}')
    found = control.observe()
    assert found.member_requests == (request,)
    assert [bad.key.rsplit("/", 1)[1] for bad in found.bad] == ["bad.json"]
    control.member_requests.answer(MemberAnswer(id="r1", answered_at=NOW.replace(microsecond=0), text="done"))
    assert control.observe().member_requests == ()
    answer = control.member_requests.answer_to("r1")
    assert answer is not None
    assert answer.text == "done"


def test_recovering_is_refused_while_etcd_has_a_quorum_and_advised_where_it_has_none(run: Run, store: LocalStore) -> None:
    code, _, told = run("recover-from-member", "main", "etcd-b", "--yes", "--cluster", "prod.example.com")
    assert code == ExitCode.REFUSED
    assert "S3-quorum-serves" in told
    alone = (row("etcd-a", answers=False, serves=False), row("etcd-b", serves=False), row("etcd-c", answers=False, serves=False))
    store.write("control/_status.json", document(*alone, told_at=datetime.now(UTC)))
    code, told, _ = run("recover-from-member", "main", "etcd-b", "--plan")
    assert code == ExitCode.OK
    assert "Declared gone for good: etcd-a, etcd-c" in told
    code, told, _ = run("recover-from-member")
    assert "recover-from-member main etcd-b" in told


def test_the_refusal_says_which_rule(run: Run, store: LocalStore) -> None:
    store.write("control/_status.json", document(row("etcd-a"), row("etcd-b"), row("etcd-c", serves=False), told_at=datetime.now(UTC)))
    code, _, told = run("replace-member", "etcd-b", "--yes", "--cluster", "prod.example.com")
    assert code == ExitCode.REFUSED
    assert "S4-stop-costs-quorum" in told


def test_old_requests_and_their_answers_are_forgotten_and_open_ones_never(store: LocalStore) -> None:
    control = ControlStore(store)
    for name in ("r1", "r2"):
        control.member_requests.ask(MemberRequest(id=name, verb=MemberVerb.REMOVE, member="x", requested_by="me", requested_at=NOW))
    control.member_requests.answer(MemberAnswer(id="r1", answered_at=NOW, text="done"))
    control.forget_requests(answered_before=datetime.now(UTC) + timedelta(hours=1))
    assert control.member_requests.answer_to("r1") is None
    assert [r.id for r in control.observe().member_requests] == ["r2"]
