"""Which full backup and which deltas lead to a revision; pure.

    full at 100 ── 101…140 ── 141…190 ──(gap)── 201…230
                   any revision from 100 to 190 can be restored from this full backup; 191…230 cannot

A *lineage* is one life of a cluster, from its creation or restore on: within it revisions only grow. Deltas lead only from a full backup of
their own lineage.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from agents.errors import NotFoundError

_STARTED = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Lineage:
    """One life of a cluster: the id that etcd gave it, and when its deltas began. A restore or a fork begins another one."""

    started_at: datetime
    cluster_id: int

    def __str__(self) -> str:
        return f"{self.cluster_id:016x}-{self.started_at.astimezone(UTC):{_STARTED}}"

    @staticmethod
    def parse(text: str) -> Lineage | None:
        """Return the lineage of a directory's name; None for any other name."""
        cluster, _, started = text.partition("-")
        try:
            return Lineage(cluster_id=int(cluster, 16), started_at=datetime.strptime(started, _STARTED).replace(tzinfo=UTC))
        except ValueError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Span:
    """A delta as its name tells it: all changes from `first` to `last`."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """A full backup, as far as a chain needs it."""

    name: str
    cluster_id: int
    revision: int
    taken_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """How to get to a revision: the full backup, then these deltas in order."""

    lineage: Lineage
    full: Full
    spans: tuple[Span, ...]
    revision: int


def is_of(full: Full, lineage: Lineage) -> bool:
    """Return whether a full backup belongs to a lineage: of that cluster, and not taken before it began."""
    return full.cluster_id == lineage.cluster_id and full.taken_at >= lineage.started_at


def cover(spans: Collection[Span], *, after: int, until: int) -> tuple[Span, ...] | None:
    """Return the fewest spans that hold every revision greater than `after` and at most `until`, in order; None where some is missing."""
    chosen: list[Span] = []
    at = after
    while at < until:
        best = max((span for span in spans if span.first <= at + 1 and span.last > at), key=lambda span: span.last, default=None)
        if best is None:
            return None
        chosen.append(best)
        at = best.last
    return tuple(chosen)


def reach(spans: Collection[Span], *, after: int) -> int:
    """Return the last revision that the spans lead to from `after` without a gap; `after` itself where they lead nowhere."""
    at = after
    for span in sorted(spans):
        if span.first > at + 1:
            break
        at = max(at, span.last)
    return at


def path_to(revision: int, lineage: Lineage, fulls: Sequence[Full], spans: Collection[Span]) -> Path:
    """Return the shortest way to `revision`; NotFoundError that says up to where one leads.

    The newest full backup that is not past it comes first: every delta that is not needed is one that cannot be damaged.
    """
    of = sorted((full for full in fulls if is_of(full, lineage)), key=lambda full: full.revision, reverse=True)
    for full in of:
        if full.revision <= revision and (way := cover(spans, after=full.revision, until=revision)) is not None:
            return Path(lineage=lineage, full=full, spans=way, revision=revision)
    if not of:
        raise NotFoundError(f"there is no full backup of {lineage}, which deltas could lead on from", code="no-base-backup")
    parts = ", ".join(f"{full.revision} to {reach(spans, after=full.revision)}" for full in reversed(of))
    raise NotFoundError(f"revision {revision} cannot be restored; what can: {parts}", code="revision-not-covered")


def superseded(spans: Collection[Span], *, before: int) -> tuple[Span, ...]:
    """Return the spans that no restore to a revision from `before` on needs, in order."""
    return tuple(sorted(span for span in spans if span.last <= before))


def runs(spans: Collection[Span], *, at_most: int) -> tuple[tuple[Span, ...], ...]:
    """Group spans that follow one another without gap, in order; at most `at_most` to a group."""
    groups: list[list[Span]] = []
    for span in sorted(spans):
        if groups and len(groups[-1]) < at_most and span.first <= max(other.last for other in groups[-1]) + 1:
            groups[-1].append(span)
        else:
            groups.append([span])
    return tuple(tuple(group) for group in groups)
