"""The fake clock does what the Clock says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agents.clock import Clock, SystemClock
from tests.fakes.clock import FakeClock


def _passes(clock: Clock, duration: timedelta) -> tuple[timedelta, float]:
    wall, monotonic = clock.now(), clock.monotonic()
    clock.sleep(duration)
    return clock.now() - wall, clock.monotonic() - monotonic


def test_time_passes_by_sleeping() -> None:
    assert _passes(FakeClock(), timedelta(hours=5)) == (timedelta(hours=5), 5 * 3600)
    assert _passes(FakeClock(), -timedelta(hours=5)) == (timedelta(), 0)
    assert _passes(SystemClock(), timedelta(milliseconds=1))[1] >= 0.001


def test_the_wall_clock_may_jump_and_the_other_does_not() -> None:
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    clock.jump(-timedelta(minutes=10))
    assert (clock.now(), clock.monotonic()) == (datetime(2025, 12, 31, 23, 50, tzinfo=UTC), 0)
