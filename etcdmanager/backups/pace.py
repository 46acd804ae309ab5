"""Progress at a pace that people can read: what comes faster is dropped before it costs a message per mebibyte."""

from __future__ import annotations

import time
from collections.abc import Callable

from etcdmanager.peering.messages import Progress

Report = Callable[[Progress], None]

#: A bar that moves five times a second looks smooth; 400 MB would otherwise be 400 messages from each member.
EVERY_SECONDS = 0.2


def paced(report: Report | None) -> Report:
    """Return a report that passes on the first of each stage, and then one in EVERY_SECONDS; None reports to nobody."""
    if report is None:
        return _nobody
    passed: list[tuple[str, float]] = [("", 0.0)]

    def say(progress: Progress) -> None:
        stage, at = passed[0]
        now = time.monotonic()
        if progress.stage != stage or now - at >= EVERY_SECONDS:
            passed[0] = progress.stage, now
            report(progress)

    return say


def _nobody(progress: Progress) -> None:
    del progress
