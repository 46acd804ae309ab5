"""Time as something that is handed in; only loops and edges hold a Clock, decisions get `now` in their view."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time in UTC, monotonic seconds, and sleeping."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back; only differences mean anything."""
        ...

    def sleep(self, duration: timedelta) -> None:
        """Return after `duration`; a negative one is zero."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since some fixed point; not affected by clock changes."""
        return time.monotonic()

    def sleep(self, duration: timedelta) -> None:
        """Block the calling thread for `duration`."""
        time.sleep(max(0.0, duration.total_seconds()))
