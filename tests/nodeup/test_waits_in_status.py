from __future__ import annotations

from datetime import timedelta

from agents.status import Waiting, read_status, status_path
from nodeup.engine.converge import Outcome, Status
from nodeup.progress import Progress
from tests.fakes.clock import FakeClock
from tests.fakes.host import FakeHost


def test_what_steps_wait_for_is_in_the_status_until_they_do_no_longer() -> None:
    host, clock = FakeHost(), FakeClock()
    progress = Progress(host, clock)
    kubelet = Waiting(reason="kubelet.service to answer", since=clock.now(), until=clock.now() + timedelta(minutes=2), last_error="refused")
    lock = Waiting(reason="the lock of the package database", since=clock.now())

    progress.waiting_in_a_step(kubelet.reason, kubelet)
    progress.waiting_in_a_step(lock.reason, lock)
    assert read_status(host, status_path("nodeup")).waiting == (kubelet, lock)
    clock.advance(timedelta(seconds=2))
    progress.event("file:/a", Outcome(id="file:/a", status=Status.CHANGED))
    assert read_status(host, status_path("nodeup")).waiting == (kubelet, lock), "other steps go on meanwhile"

    progress.waiting_in_a_step(kubelet.reason, None)

    assert read_status(host, status_path("nodeup")).waiting == (lock,)
