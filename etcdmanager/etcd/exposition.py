"""Reading etcd's own metrics, which is how it tells how fast its disk is; pure.

The format is Prometheus' text exposition, version 0.0.4. Lines that are none are left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

#: How long each write to the WAL waits for the disk, and each commit of the database; in seconds (etcd's documentation, "Metrics").
FSYNC = "etcd_disk_wal_fsync_duration_seconds"
COMMIT = "etcd_disk_backend_commit_duration_seconds"
#: Between members; its quantile is over all of them.
ROUND_TRIP = "etcd_network_peer_round_trip_time_seconds"

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^}]*)\})?\s+(\S+)")
_BOUND = re.compile(r'(?:^|,)\s*le="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of a histogram since the process began: how many took at most so many seconds, in ascending order, the last without bound."""

    buckets: tuple[tuple[float, float], ...] = ()

    @property
    def count(self) -> float:
        """Return how many were measured."""
        return self.buckets[-1][1] if self.buckets else 0.0

    def quantile(self, share: float) -> float | None:
        """Return below how many seconds that share of all lies, interpolated as Prometheus does; None without measurements.

        What lies above the last bound counts as that bound: it is at least so much.
        """
        rank, below, before = share * self.count, 0.0, 0.0
        if not self.count:
            return None
        for bound, count in self.buckets:
            if count >= rank:
                if math.isinf(bound):
                    return below
                within = count - before
                return below + (bound - below) * ((rank - before) / within if within else 1.0)
            below, before = bound, count
        return below

    def since(self, earlier: Histogram) -> Histogram:
        """Return what was measured after `earlier`; all of it where the process began anew between them."""
        old = dict(earlier.buckets)
        if earlier.count > self.count:
            return self
        return Histogram(tuple((bound, count - old.get(bound, 0.0)) for bound, count in self.buckets))


def histograms(text: str, *names: str) -> Mapping[str, Histogram]:
    """Return the named histograms of an exposition; samples with different other labels are added up. Missing ones are empty."""
    found: dict[str, dict[float, float]] = {name: {} for name in names}
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match is None or not match[1].endswith("_bucket"):
            continue
        counts = found.get(match[1].removesuffix("_bucket"))
        bound = _BOUND.search(match[2] or "")
        if counts is None or bound is None:
            continue
        try:
            limit, value = float(bound[1]), float(match[3])
        except ValueError:
            continue
        if math.isfinite(value) and not math.isnan(limit):
            counts[limit] = counts.get(limit, 0.0) + value
    return {name: Histogram(tuple(sorted(counts.items()))) for name, counts in found.items()}
