from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents.errors import InvariantError, SpecError, TransientError
from agents.host.protocol import CommandResult
from nodeup.engine.converge import LIMITS, Lane, Outcome, Result, Status, converge, lane_of, observe
from nodeup.engine.graph import build_graph
from nodeup.engine.report import result_document, result_lines
from nodeup.resources.content import Literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.resources.package import PackageSet
from nodeup.resources.user import User
from tests.fakes.host import FakeHost
from tests.fakes.run_context import run_context, scratch


def a_file(path: str, *, after: tuple[str, ...] = (), on_change: tuple[tuple[str, ...], ...] = (), text: bytes = b"text\n") -> File:
    return File(path=path, content=Literal(text), after_files=after, on_change=on_change)


def run(host: FakeHost, tmp_path: Path, *resources: AnyResource, **options: object) -> Result:
    return converge(build_graph(resources), host, run_context(host), **options)  # type: ignore[arg-type]


def statuses(result: Result) -> dict[str, str]:
    return {outcome.id: outcome.status.value for outcome in result.outcomes}


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost({"/etc/passwd": b"root:x:0:0:root:/root:/bin/bash\n"}, scratch=scratch(tmp_path))


def test_what_is_missing_is_made_and_a_second_run_changes_nothing(host: FakeHost, tmp_path: Path) -> None:
    first = run(host, tmp_path, a_file("/a"), a_file("/b", after=("/a",)))
    host.changes.clear()
    second = run(host, tmp_path, a_file("/a"), a_file("/b", after=("/a",)))

    assert first.is_complete
    assert statuses(first) == {"file:/a": "changed", "file:/b": "changed"}
    assert statuses(second) == {"file:/a": "unchanged", "file:/b": "unchanged"}
    assert host.changes == []


def test_observing_changes_nothing(host: FakeHost) -> None:
    outcomes = observe(build_graph([a_file("/a")]), host, run_context(host))

    assert [outcome.status for outcome in outcomes] == [Status.CHANGED]
    assert host.changes == []


def test_a_failure_costs_only_what_depends_on_it(host: FakeHost, tmp_path: Path) -> None:
    host.failures["/a"] = TransientError("the disk is full")

    result = run(host, tmp_path, a_file("/a"), a_file("/b", after=("/a",)), a_file("/c", after=("/b",)), a_file("/d"))

    assert statuses(result) == {"file:/a": "failed", "file:/b": "skipped", "file:/c": "skipped", "file:/d": "changed"}
    reasons = {outcome.id: outcome.reason for outcome in result.outcomes}
    assert reasons["file:/b"] == "file:/a failed (it names it in after_files)"
    assert reasons["file:/c"] == "file:/b skipped (it names it in after_files)"
    assert not result.is_complete


def test_an_exit_status_is_not_believed(host: FakeHost, tmp_path: Path) -> None:
    host.answer(("useradd",), exit_code=0)

    result = run(host, tmp_path, User(name="etcd", uid=10000, shell="/bin/false"))  # noqa: S604

    (outcome,) = result.with_status(Status.FAILED)
    assert outcome.error is not None
    assert outcome.error.code == "not-converged"
    assert "still is not as wanted: it does not exist" in str(outcome.error)


def test_a_bug_in_one_kind_does_not_end_the_run(host: FakeHost, tmp_path: Path) -> None:
    def explode(argv: tuple[str, ...]) -> CommandResult | None:
        raise ZeroDivisionError(argv[0])

    host.answer(("useradd",), effect=explode)

    result = run(host, tmp_path, User(name="etcd", uid=10000, shell="/bin/false"), a_file("/a"))  # noqa: S604

    assert statuses(result) == {"user:etcd": "failed", "file:/a": "changed"}
    (outcome,) = result.with_status(Status.FAILED)
    assert isinstance(outcome.error, InvariantError)


def test_a_run_that_is_told_to_stop_starts_nothing_more(host: FakeHost, tmp_path: Path) -> None:
    stopping = threading.Event()

    def on_event(step: str, outcome: Outcome | None) -> None:
        if outcome is not None:
            stopping.set()

    result = run(host, tmp_path, a_file("/a"), a_file("/b", after=("/a",)), on_event=on_event, is_stopping=stopping.is_set)

    assert statuses(result) == {"file:/a": "changed", "file:/b": "skipped"}
    assert result.with_status(Status.SKIPPED)[0].reason == "nodeup was told to stop"


def test_an_error_of_the_operator_is_an_outcome_like_others(host: FakeHost, tmp_path: Path) -> None:
    host.make_directory("/a")

    result = run(host, tmp_path, a_file("/a"))

    assert isinstance(result.outcomes[0].error, SpecError)
    assert "/a is a directory, expected a file" in str(result.outcomes[0].error)


def test_a_command_that_failed_after_a_change_is_run_again_by_the_next_run(host: FakeHost, tmp_path: Path) -> None:
    host.answer(("sysctl", "--system"), exit_code=1, stderr="no such key\n")
    file = a_file("/etc/sysctl.d/99.conf", on_change=(("sysctl", "--system"),))
    failed = run(host, tmp_path, file)
    host.answer(("sysctl", "--system"))

    healed = run(host, tmp_path, file)
    again = run(host, tmp_path, file)

    assert statuses(failed) == {file.id: "failed"}
    assert "no such key" in str(failed.outcomes[0].error)
    assert statuses(healed) == {file.id: "changed"}
    assert statuses(again) == {file.id: "unchanged"}
    assert host.commands.count(("sysctl", "--system")) == 2


def test_a_crash_between_writing_a_file_and_running_its_command_heals(host: FakeHost, tmp_path: Path) -> None:
    file = a_file("/etc/sysctl.d/99.conf", on_change=(("sysctl", "--system"),))

    def lose_power(argv: tuple[str, ...]) -> CommandResult | None:
        raise TransientError("the power is gone")

    host.answer(("sysctl", "--system"), effect=lose_power)
    run(host, tmp_path, file)
    assert host.read("/etc/sysctl.d/99.conf") == b"text\n"
    host.answer(("sysctl", "--system"))

    result = run(host, tmp_path, file)

    assert statuses(result) == {file.id: "changed"}
    assert "an interrupted run still has to execute sysctl --system" in "\n".join(result_lines(result))


@dataclass
class Gate:
    """Counts how many commands run at the same time."""

    limit: int
    now: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.full = threading.Barrier(self.limit)

    def enter(self, argv: tuple[str, ...]) -> CommandResult | None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.full.wait(timeout=10)
        with self.lock:
            self.now -= 1
        return None


def test_steps_that_do_not_depend_on_one_another_run_at_the_same_time(host: FakeHost, tmp_path: Path) -> None:
    gate = Gate(LIMITS[Lane.LOCAL])
    host.answer(("touch",), effect=gate.enter)
    files = [a_file(f"/f{number}", on_change=(("touch", str(number)),)) for number in range(LIMITS[Lane.LOCAL])]

    result = run(host, tmp_path, *files)

    assert result.is_complete
    assert gate.most == LIMITS[Lane.LOCAL]


def test_packages_have_a_lane_of_one() -> None:
    assert LIMITS[lane_of(PackageSet(names=("a",)))] == 1


def test_a_result_is_told_to_people_and_to_programs(host: FakeHost, tmp_path: Path) -> None:
    host.failures["/a"] = TransientError("the disk is full", hint="df -h")

    result = run(host, tmp_path, a_file("/a"), a_file("/b", after=("/a",)), a_file("/d"))

    lines = list(result_lines(result))
    assert lines[0].startswith("+ file /d  (5 bytes)")
    assert lines[1:4] == [
        "✗ file:/a: the disk is full",
        "    hint: df -h",
        "- file:/b: skipped, file:/a failed (it names it in after_files)",
    ]
    document = result_document(result)
    assert document["complete"] is False
    assert {item["id"]: item["status"] for item in document["items"]} == {"file:/a": "failed", "file:/b": "skipped", "file:/d": "changed"}  # type: ignore[attr-defined]
