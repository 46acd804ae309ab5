from __future__ import annotations

import fcntl
from datetime import timedelta
from pathlib import Path

from agents.errors import TransientError
from agents.host.rooted import RootedHost
from agents.status import read_status, status_path
from nodeup.engine.converge import Outcome, Result, Status
from nodeup.last_status import LAST_RUN
from nodeup.lock import LOCK, is_locked
from nodeup.progress import ACTIVE_CONSOLES, Progress
from nodeup.this_machine import BOOT_ID
from tests.fakes.clock import FakeClock
from tests.fakes.host import FakeHost

GOOD = Result(
    outcomes=(Outcome(id="unit:kubelet.service", status=Status.CHANGED, duration=timedelta(seconds=2)),), duration=timedelta(seconds=3)
)


def test_the_end_of_a_run_outlives_a_reboot() -> None:
    host, clock = FakeHost({BOOT_ID: b"boot-1\n"}), FakeClock()
    progress = Progress(host, clock)
    progress.attempt(1)
    progress.phase("load")
    clock.advance(timedelta(seconds=1.5))
    progress.phase("apply")
    clock.advance(timedelta(seconds=3))
    progress.done(GOOD)

    kept = read_status(host, LAST_RUN)

    assert kept == read_status(host, status_path("nodeup"))
    assert kept.details["bootId"] == "boot-1"
    assert kept.details["phases"] == [{"phase": "load", "seconds": 1.5}, {"phase": "apply", "seconds": 3.0}]


def test_what_ended_is_in_the_timeline_while_others_still_run() -> None:
    host, clock = FakeHost(), FakeClock()
    progress = Progress(host, clock)
    progress.attempt(1)
    progress.phase("apply")
    progress.event("file:/a", None)
    clock.advance(timedelta(seconds=2))
    progress.event("unit:containerd.service", None)
    progress.event("file:/a", Outcome(id="file:/a", status=Status.FAILED, error=TransientError("no"), duration=timedelta(seconds=2)))

    details = read_status(host, status_path("nodeup")).details

    assert [row["phase"] for row in details["timeline"]] == ["file"]  # type: ignore[attr-defined]
    assert [row["id"] for row in details["running"]] == ["unit:containerd.service"]  # type: ignore[attr-defined]


def test_the_console_gets_a_line_for_each_phase_and_the_last_says_where_the_time_went(tmp_path: Path) -> None:
    console = tmp_path / "console"
    console.touch()
    clock = FakeClock()
    progress = Progress(FakeHost(), clock, console=console)
    progress.attempt(1)
    progress.phase("load")
    clock.advance(timedelta(seconds=1))
    progress.done(GOOD)

    assert console.read_bytes().decode().split("\r\n") == [
        "nodeup: attempt 1: load",
        "nodeup: done: 1 change in 3.0 s; load 1.0 s; slowest: unit:kubelet.service 2.0 s",
        "",
    ]


def test_a_console_that_does_not_exist_costs_nothing(tmp_path: Path) -> None:
    host = FakeHost({ACTIVE_CONSOLES: b"ttyS987 tty0\n"})
    progress = Progress(host, FakeClock(), console=tmp_path / "none")

    progress.done(GOOD)

    assert read_status(host, status_path("nodeup")).state == "done"


def test_the_lock_is_seen_without_being_taken(tmp_path: Path) -> None:
    host = RootedHost(tmp_path)
    path = tmp_path / LOCK.lstrip("/")
    assert not is_locked(host)
    path.parent.mkdir(parents=True)
    path.touch()
    assert not is_locked(host)

    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert is_locked(host)
