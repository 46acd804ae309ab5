"""Collecting deltas: while we lead, one watch over all keys; what came is written every few seconds.

    where the deltas end ─► watch from there ─► buffer ──5 s or 4 MiB──► DeltaStore
            ▲                                                              │
            └────── any error: forget the buffer, begin again ◄────────────┘

What is not written yet is lost with us and nothing else: etcd still has it, as long as nobody compacts (Kubernetes: five minutes).
Where it was compacted, or no chain exists, a new lineage begins at the present revision, and a full backup is asked for. Two collectors
at once write the same changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from agents.clock import Clock
from agents.errors import AgentError, NotFoundError, TransientError
from etcdmanager.backups.store import BackupStore
from etcdmanager.deltas.chain import Full, Lineage, is_of, reach
from etcdmanager.deltas.segment import Change, Moment, Segment
from etcdmanager.deltas.store import DeltaStore

if TYPE_CHECKING:
    from etcdmanager.etcd.client import EtcdClient
    from etcdmanager.etcd.watch import Watched

log = logging.getLogger(__name__)

#: Half of the recovery point that is promised (10 s); the other half is for etcd, the network and the store.
FLUSH_AFTER = timedelta(seconds=5)
#: Written earlier where so much came; it is also what we hold in memory.
FLUSH_BYTES = 4 << 20
#: What a change takes in memory besides its key and value, about.
_CHANGE_BYTES = 300
#: etcd delivers the changes of one revision together; versions had faults in that, so the newest is not cut off at once.
_SETTLED_SECONDS = 1.0
#: After an error, and between looks whether we lead.
_PAUSE = timedelta(seconds=2)
#: A full backup that does not come (no room to prove it, a store that refuses) is not asked for each time the watch begins again.
_ASK_EVERY = timedelta(minutes=10)
#: After these nothing can lead on from what was written.
_ENDS_CHAIN = frozenset({"etcd-compacted", "delta-torn"})
#: A lease is asked for once; after so many, all are asked for again.
_KNOWN_LEASES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaNews:
    """What the collector has to tell, swapped whole."""

    collecting: bool = False
    lineage: Lineage | None = None
    #: Up to which revision deltas are in the store, and when etcd was last heard to have nothing newer unwritten.
    written_revision: int = 0
    current_at: datetime | None = None
    #: Why nothing is collected; "" while it is.
    problem: str = ""
    problem_code: str = ""
    problem_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    lineage: Lineage
    revision: int
    #: Whether no full backup leads here: one is to be taken.
    needs_full: bool


@dataclass(slots=True)
class _Buffer:
    """What came and is not written; `first` is where the next delta begins."""

    first: int
    changes: list[Change] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    #: By the monotonic clock, one for each moment.
    heard: list[float] = field(default_factory=list)
    size_bytes: int = 0

    def take(self, watched: Watched, *, at: datetime, monotonic: float) -> None:
        """Add what came."""
        if not watched.changes:
            return
        if watched.changes[0].revision < self.first:
            # etcd promises that this cannot be. The delta that was written as complete is not: no chain may lead over it.
            found = watched.changes[0].revision
            raise TransientError(f"a change of revision {found} came after those up to {self.first - 1} were written", code="delta-torn")
        for change in watched.changes:
            self.changes.append(Change(revision=change.revision, key=change.key, value=change.value, lease=change.lease))
            self.size_bytes += len(change.key) + len(change.value or b"") + _CHANGE_BYTES
        self.moments.append(Moment(at=at, revision=self.changes[-1].revision))
        self.heard.append(monotonic)

    def is_due(self, monotonic: float, flush_after: timedelta) -> bool:
        """Return whether something waited long enough, or is too much to hold."""
        return bool(self.heard) and (monotonic - self.heard[0] >= flush_after.total_seconds() or self.size_bytes >= FLUSH_BYTES)

    def give(self, monotonic: float) -> tuple[tuple[Change, ...], tuple[Moment, ...]]:
        """Take out what is settled: more of the newest revision may follow at once, so it stays until the next time."""
        settled = sum(1 for heard in self.heard if monotonic - heard >= _SETTLED_SECONDS)
        if settled == 0:
            return (), ()
        moments, self.moments, self.heard = tuple(self.moments[:settled]), self.moments[settled:], self.heard[settled:]
        last = moments[-1].revision
        given = tuple(change for change in self.changes if change.revision <= last)
        self.changes = self.changes[len(given) :]
        self.size_bytes = sum(len(change.key) + len(change.value or b"") + _CHANGE_BYTES for change in self.changes)
        self.first = last + 1
        return given, moments


class DeltaCollector:
    """Runs until cancelled.

    `etcd` returns a client of a member that serves while we lead, else None; `ask_full` has a full backup taken, for a reason.
    """

    def __init__(
        self,
        deltas: DeltaStore,
        backups: BackupStore,
        *,
        etcd: Callable[[], EtcdClient | None],
        ask_full: Callable[[str], None],
        clock: Clock,
        flush_after: timedelta = FLUSH_AFTER,
    ) -> None:
        self._deltas = deltas
        self._backups = backups
        self._etcd = etcd
        self._ask_full = ask_full
        self._clock = clock
        self._flush_after = flush_after
        self._leases: dict[int, int] = {}
        self._asked_at: float | None = None
        self.news = DeltaNews()

    async def run(self) -> None:
        """Collect whenever we lead."""
        while True:
            client = self._etcd()
            if client is None:
                self.news = replace(self.news, collecting=False, problem="", problem_code="", problem_since=None)
            else:
                try:
                    await self._collect(client)
                except AgentError as error:
                    self._tell(error)
            await asyncio.sleep(_PAUSE.total_seconds())

    def _tell(self, error: AgentError) -> None:
        if error.code != self.news.problem_code:
            log.warning("deltas pause (%s): %s", error.code, error)
        since = self.news.problem_since or self._clock.now()
        self.news = replace(self.news, collecting=False, problem=str(error), problem_code=error.code, problem_since=since)

    async def _collect(self, client: EtcdClient) -> None:
        """Watch and write until we lead no longer, or an error."""
        status = await client.status()
        start = await asyncio.to_thread(self._start, status.cluster_id, status.revision)
        try:
            await self._watch(client, start, status.version)
        except (NotFoundError, TransientError) as error:
            if error.code not in _ENDS_CHAIN:
                raise
            log.warning("the deltas of %s end: %s; a new chain begins", start.lineage, error)
            revision = (await client.status()).revision
            anew = await asyncio.to_thread(self._anew, status.cluster_id, revision)
            await self._watch(client, anew, status.version)

    async def _watch(self, client: EtcdClient, start: _Start, version: str) -> None:
        from etcdmanager.etcd.watch import watch_all

        await self._ask_for_full(start)
        buffer = _Buffer(first=start.revision)
        stream = watch_all(client, start=start.revision)
        reading: asyncio.Task[Watched] | None = None
        log.info("deltas of %s from revision %s on", start.lineage, start.revision)
        try:
            while self._etcd() is client:
                reading = reading or asyncio.ensure_future(anext(stream))
                done, _ = await asyncio.wait({reading}, timeout=min(self._flush_after.total_seconds(), 1.0))
                if done:
                    buffer.take(reading.result(), at=self._clock.now(), monotonic=self._clock.monotonic())
                    reading = None
                if buffer.is_due(self._clock.monotonic(), self._flush_after):
                    await self._flush(client, start.lineage, buffer, version)
                if not buffer.changes:
                    self.news = DeltaNews(
                        collecting=True, lineage=start.lineage, written_revision=buffer.first - 1, current_at=self._clock.now()
                    )
        except StopAsyncIteration as end:
            raise TransientError("the watch ended", code="etcd-watch-ended") from end
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.wait({reading})
            await stream.aclose()

    async def _ask_for_full(self, start: _Start) -> None:
        now = self._clock.monotonic()
        if start.needs_full and (self._asked_at is None or now - self._asked_at >= _ASK_EVERY.total_seconds()):
            await asyncio.to_thread(self._ask_full, f"deltas of {start.lineage} begin at revision {start.revision}")
            self._asked_at = now

    async def _flush(self, client: EtcdClient, lineage: Lineage, buffer: _Buffer, version: str) -> None:
        """Write what is settled; after it the buffer begins where the delta ends. An error loses the buffer, and etcd is asked again."""
        first = buffer.first
        changes, moments = buffer.give(self._clock.monotonic())
        if not moments:
            return
        segment = Segment(
            cluster_id=lineage.cluster_id,
            first=first,
            last=moments[-1].revision,
            changes=changes,
            moments=moments,
            leases=await self._leases_of(client, changes),
            etcd_version=version,
        )
        await asyncio.to_thread(self._deltas.write, lineage, segment)

    async def _leases_of(self, client: EtcdClient, changes: Iterable[Change]) -> tuple[tuple[int, int], ...]:
        """Return the granted TTLs of the leases that the changes name; one that is gone is left out, as its keys are about to be."""
        named = {change.lease for change in changes if change.lease}
        if len(self._leases) > _KNOWN_LEASES:
            self._leases.clear()
        for lease in sorted(named - self._leases.keys()):
            self._leases[lease] = (await client.lease(lease)).granted_seconds
        return tuple((lease, self._leases[lease]) for lease in sorted(named) if self._leases[lease] > 0)

    def _start(self, cluster_id: int, revision: int) -> _Start:
        """Return where to begin: behind what the newest full backup and the deltas of the cluster's newest lineage lead to."""
        lineages = self._deltas.list()
        newest = max((lineage for lineage in lineages if lineage.cluster_id == cluster_id), default=None)
        if newest is None:
            return self._anew(cluster_id, revision)
        last = max(span.last for span in lineages[newest])
        # A member that was put back to an earlier state would write other changes under the same revisions.
        if last > revision:
            log.warning("%s has deltas up to revision %s, and etcd is at %s: it forked; a new chain begins", newest, last, revision)
            return self._anew(cluster_id, revision)
        full = next((full for full in fulls_of(self._backups) if is_of(full, newest) and full.revision <= revision), None)
        end = last if full is None else reach(lineages[newest], after=full.revision)
        return _Start(lineage=newest, revision=end + 1, needs_full=full is None)

    def _anew(self, cluster_id: int, revision: int) -> _Start:
        """Begin a lineage at the present: what was changed before is in no delta of it.

        Its first delta holds nothing, and says since when the present revision is the newest: so the next leader finds the lineage
        although nothing changed. Every full backup of the lineage is of this revision or a later one.
        """
        now = self._clock.now()
        lineage = Lineage(cluster_id=cluster_id, started_at=now.replace(microsecond=0))
        moments = (Moment(at=now, revision=revision),)
        self._deltas.write(lineage, Segment(cluster_id=cluster_id, first=revision, last=revision, changes=(), moments=moments))
        return _Start(lineage=lineage, revision=revision + 1, needs_full=True)


def fulls_of(backups: BackupStore) -> Iterator[Full]:
    """Yield the full backups that deltas can lead on from, newest first: verified, with a manifest that says their cluster and revision."""
    for listed in reversed(backups.list()):
        manifest = backups.manifest(listed.text) if listed.has_manifest and listed.size_bytes else None
        if manifest is not None and manifest.verified and manifest.revision:
            yield Full(name=listed.text, cluster_id=manifest.cluster_id, revision=manifest.revision, taken_at=listed.taken_at)
