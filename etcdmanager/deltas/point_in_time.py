"""Which points in time a store leads to, and how: by revision, by time, and all of them as windows without gaps. It changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from agents.errors import AccessError, NotFoundError, VerificationError
from agents.timestamps import format_timestamp
from etcdmanager.backups.store import BackupStore
from etcdmanager.deltas import chain
from etcdmanager.deltas.chain import Full, Lineage, Span, is_of, path_to, reach
from etcdmanager.deltas.collect import fulls_of
from etcdmanager.deltas.store import DeltaStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What can be restored without a gap."""

    lineage: Lineage
    first: Full
    last_revision: int
    #: When `last_revision` was seen; for one that only a full backup holds, when that was taken. None: its delta cannot be read.
    until: datetime | None
    #: Why not: it is damaged, or encrypted and its key is not given; "" where it can.
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A revision, when it was seen, and the way to it."""

    path: chain.Path
    at: datetime


class PointInTime:
    """The points in time of one backup store. Finding blocks, as a Store does."""

    def __init__(self, backups: BackupStore) -> None:
        self._backups = backups
        self._deltas = DeltaStore(backups.store, backups.keys)

    def windows(self) -> tuple[Window, ...]:
        """Return what can be restored, newest lineage first; a lineage with gaps has several, its newest first."""
        lineages = self._deltas.list()
        fulls = sorted(fulls_of(self._backups), key=lambda full: full.revision)
        found: list[Window] = []
        for lineage, spans in sorted(lineages.items(), reverse=True):
            later = [other.started_at for other in lineages if other.cluster_id == lineage.cluster_id and other > lineage]
            mine = [full for full in fulls if is_of(full, lineage) and all(full.taken_at < start for start in later)]
            windows: list[Window] = []
            for full in mine:
                if windows and full.revision <= windows[-1].last_revision:
                    continue
                windows.append(self._window(lineage, spans, full))
            found += reversed(windows)
        return tuple(found)

    def at_revision(self, revision: int) -> Point:
        """Return the way to a revision, in the newest lineage that has one; NotFoundError that says up to where the newest leads."""
        fulls = tuple(fulls_of(self._backups))
        newest: NotFoundError | None = None
        for lineage, spans in sorted(self._deltas.list().items(), reverse=True):
            try:
                path = path_to(revision, lineage, fulls, spans)
            except NotFoundError as error:
                newest = newest or error
            else:
                return Point(path=path, at=self._seen_at(path))
        raise newest or self._none("")

    def at_time(self, at: datetime) -> Point:
        """Return the way to what the cluster held at a time: the last revision that was seen by then. NotFoundError where nothing was."""
        lineage, spans = self._newest(at)
        fulls = [full for full in fulls_of(self._backups) if is_of(full, lineage)]
        base = next((full for full in fulls if full.taken_at <= at), None)
        if base is None:
            first = min((full.taken_at for full in fulls), default=None)
            what = f"the first full backup of {lineage} is of {format_timestamp(first)}" if first else f"{lineage} has no full backup"
            raise NotFoundError(f"nothing leads to {format_timestamp(at)}: {what}", code="time-not-covered")
        after = min((full.revision for full in fulls if full.taken_at > at), default=reach(spans, after=base.revision))
        revision, seen = base.revision, base.taken_at
        for span in chain.cover(spans, after=base.revision, until=reach(spans, after=base.revision)) or ():
            if span.first > after:
                break
            for moment in self._deltas.read(lineage, span).moments:
                if moment.at <= at and moment.revision > revision:
                    revision, seen = moment.revision, moment.at
        return Point(path=path_to(revision, lineage, fulls, spans), at=max(seen, base.taken_at))

    def _newest(self, at: datetime) -> tuple[Lineage, tuple[Span, ...]]:
        lineages = self._deltas.list()
        found = max((lineage for lineage in lineages if lineage.started_at <= at), default=None)
        if found is None:
            raise self._none(f" of {format_timestamp(at)} or before")
        return found, lineages[found]

    def _none(self, when: str) -> NotFoundError:
        return NotFoundError(f"{self._deltas.url} holds no deltas{when}", code="no-deltas", hint="restore a full backup by its name")

    def _window(self, lineage: Lineage, spans: Sequence[Span], full: Full) -> Window:
        last = reach(spans, after=full.revision)
        path = chain.Path(lineage=lineage, full=full, spans=chain.cover(spans, after=full.revision, until=last) or (), revision=last)
        try:
            return Window(lineage=lineage, first=full, last_revision=last, until=self._seen_at(path))
        except (AccessError, NotFoundError, VerificationError) as error:
            # What is there is told all the same: a list is what one looks at when something is wrong.
            return Window(lineage=lineage, first=full, last_revision=last, until=None, problem=str(error))

    def _seen_at(self, path: chain.Path) -> datetime:
        """Return when the path's revision was seen first."""
        if not path.spans:
            return path.full.taken_at
        moments = self._deltas.read(path.lineage, path.spans[-1]).moments
        return next((moment.at for moment in moments if moment.revision >= path.revision), path.full.taken_at)


def parse_point(text: str, *, now: datetime) -> int | datetime:
    """Return what an operator means: a revision (18202994), a time (2026-08-22T02:47:30Z), or so long ago (15m); SpecError otherwise."""
    from agents.durations import parse_human_duration
    from agents.timestamps import parse_timestamp

    if text.isdigit() and len(text) > 4:
        return int(text)
    if "T" in text or "-" in text:
        return parse_timestamp(text, where="--at")
    return now.astimezone(UTC) - parse_human_duration(text)
