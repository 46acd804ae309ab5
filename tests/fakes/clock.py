"""A clock whose time passes only by sleeping, so that a test of hours takes no time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Starts at `start`; `sleep` and `advance` move wall time and monotonic time together, `jump` only wall time."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 0.0
        #: Every pause that was asked for, in order.
        self.slept: list[timedelta] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, duration: timedelta) -> None:
        self.slept.append(duration)
        self.advance(max(duration, timedelta()))

    def advance(self, duration: timedelta) -> None:
        self._now += duration
        self._monotonic += duration.total_seconds()

    def jump(self, duration: timedelta) -> None:
        """Change wall time as an administrator or NTP does; it may go back."""
        self._now += duration
