"""Deltas collected from real etcds under load, and backups made from them: compared with what the etcd held at each revision."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.clock import SystemClock
from agents.errors import NotFoundError, VerificationError
from agents.stores.local import LocalStore
from etcdmanager.backups.keyspace import keyspace
from etcdmanager.backups.store import BackupStore
from etcdmanager.backups.take import BackupOrder, BackupTaker
from etcdmanager.backups.verify import unpack
from etcdmanager.deltas.collect import DeltaCollector, DeltaNews
from etcdmanager.deltas.materialise import Materialiser
from etcdmanager.deltas.point_in_time import PointInTime, parse_point
from etcdmanager.deltas.store import DeltaStore
from etcdmanager.etcd.client import EtcdClient
from etcdmanager.spec import ClusterSpec
from tests.support.etcd_binaries import etcd_binaries
from tests.support.etcd_server import running_etcd

pytestmark = pytest.mark.etcd
SPEC = ClusterSpec(member_count=1, etcd_version="3.5.16")
Keys = dict[bytes, tuple[bytes, int, int]]


@dataclass
class Cluster:
    """An etcd, a store, and what the etcd held at each revision: value, revision of the last change, lease of each key."""

    client: EtcdClient
    backups: BackupStore
    scratch: Path
    version: str
    chance: random.Random = field(default_factory=lambda: random.Random(11))
    history: dict[int, Keys] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def change(self, times: int) -> None:
        """Put, delete, and do both in one transaction; remember what is there after each."""
        lease = await self.client.grant(1000)
        for _ in range(times):
            key = b"/registry/%d" % self.chance.randrange(15)
            match self.chance.randrange(4):
                case 0:
                    await self.client.delete(key)
                case 1:
                    await self.client.put_many([(b"/many/%d" % self.chance.randrange(5), b"m"), (key, b"both")])
                case 2:
                    await self.client.put(key, self.chance.randbytes(50), lease_id=lease)
                case _:
                    await self.client.put(key, self.chance.randbytes(self.chance.choice([0, 9000])))
            await self.remember()

    async def remember(self) -> None:
        page = await self.client.page(limit=1000)
        self.history[page.revision] = {kv.key: (kv.value, kv.mod_revision, kv.lease_id) for kv in page.keys}

    async def is_gone(self, key: bytes) -> bool:
        return await self.client.get(key) is None

    async def back_up(self) -> None:
        taker = BackupTaker(scratch=self.scratch, clock=SystemClock(), by="test")
        await taker.take(self.client, self.backups, BackupOrder(etcd_cluster="etcd", spec=SPEC, reason="schedule", cluster="c"))

    def collector(self, leads: Callable[[], bool] = lambda: True) -> DeltaCollector:
        return DeltaCollector(
            DeltaStore(self.backups.store),
            self.backups,
            etcd=lambda: self.client if leads() else None,
            ask_full=self.asked.append,
            clock=SystemClock(),
            flush_after=timedelta(seconds=0.3),
        )

    async def materialise(self, revision: int) -> Keys:
        """Return what the backup made of a revision holds."""
        maker = Materialiser(
            self.backups, directories=(str(etcd_binaries(self.version)),), scratch=self.scratch, clock=SystemClock(), by="test"
        )
        taken = await maker.make(PointInTime(self.backups).at_revision(revision), spec=SPEC)
        assert taken.revision == revision
        with (self.scratch / "db").open("w+b") as file:
            verified = unpack(self.backups, taken.name, file, room=self.scratch)
            with keyspace(file, size_bytes=verified.snapshot.db_size_bytes) as keys:
                found = [keys.get(key) for key in keys.keys()]  # noqa: SIM118 (it is no mapping)
        return {stored.key: (stored.value, stored.mod_revision, stored.lease) for stored in found}


@asynccontextmanager
async def cluster(tmp_path: Path, version: str = "3.5.16") -> AsyncIterator[Cluster]:
    with running_etcd(tmp_path, version=version) as etcd:
        async with EtcdClient([etcd.url]) as client:
            scratch = tmp_path / "scratch"
            scratch.mkdir()
            yield Cluster(client=client, backups=BackupStore(LocalStore(tmp_path / "store")), scratch=scratch, version=version)


@asynccontextmanager
async def collecting(collector: DeltaCollector) -> AsyncIterator[DeltaCollector]:
    task = asyncio.create_task(collector.run())
    try:
        await until(lambda: collector.news.collecting)
        yield collector
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    """Look until it holds: what is looked at is in another process, and gives no events."""
    async with asyncio.timeout(30):
        while True:
            found = holds()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.02)


async def written(collector: DeltaCollector, revision: int) -> DeltaNews:
    await until(lambda: collector.news.written_revision >= revision)
    return collector.news


@pytest.mark.parametrize("version", ["3.4.23", "3.5.16"])
def test_any_revision_comes_out_as_it_was_though_the_etcd_has_forgotten_it(tmp_path: Path, version: str) -> None:
    async def main() -> None:
        async with cluster(tmp_path, version) as it:
            await it.change(20)
            async with collecting(it.collector()) as collector:
                assert len(it.asked) == 1
                await it.back_up()
                await it.change(60)
                first = max(it.history)
                await written(collector, first)
                await it.client.compact(first, physical=True)
                await it.back_up()
                await it.change(30)
                await written(collector, max(it.history))

            (window,) = PointInTime(it.backups).windows()
            assert window.last_revision == max(it.history)
            later = sorted(revision for revision in it.history if revision > window.first.revision)
            for revision in (later[0], *it.chance.sample(later[1:-1], 2), later[-1]):
                assert await it.materialise(revision) == it.history[revision]

    asyncio.run(main())


def test_what_a_short_lease_took_away_is_gone_and_what_it_holds_is_there(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as it:
            async with collecting(it.collector()) as collector:
                await it.back_up()
                short = await it.client.grant(2)
                await it.client.put(b"/masterleases/a", b"1", lease_id=short)
                await it.remember()
                alive = max(it.history)
                await until(lambda: it.is_gone(b"/masterleases/a"))
                await it.remember()
                await written(collector, max(it.history))

            assert await it.materialise(alive) == it.history[alive]
            assert await it.materialise(max(it.history)) == {}

    asyncio.run(main())


def test_a_new_leader_goes_on_where_the_old_one_ended_and_two_at_once_do_no_harm(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as it:
            async with collecting(it.collector()) as collector:
                await it.back_up()
                await it.change(10)
                await written(collector, max(it.history))
            await it.change(10)
            async with collecting(it.collector()) as one, collecting(it.collector()) as other:
                await it.change(20)
                await written(one, max(it.history))
                await written(other, max(it.history))

            (window,) = PointInTime(it.backups).windows()
            assert window.last_revision == max(it.history)
            assert len(it.asked) == 1
            assert await it.materialise(max(it.history)) == it.history[max(it.history)]

    asyncio.run(main())


def test_what_was_compacted_before_anybody_listened_is_a_gap_that_is_told_and_closed_by_a_full_backup(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as it:
            async with collecting(it.collector()) as collector:
                await it.back_up()
                await it.change(10)
                await written(collector, max(it.history))
            last = max(it.history)
            await it.change(10)
            lost = max(it.history)
            await it.change(2)
            await it.client.compact(max(it.history), physical=True)
            # Lineages are told apart by the second in which they begin.
            await asyncio.sleep(1.1)
            async with collecting(it.collector()) as collector:
                await until(lambda: len(it.asked) == 2)
                await it.back_up()
                await it.change(5)
                await written(collector, max(it.history))

            new, old = PointInTime(it.backups).windows()
            assert (old.last_revision, new.last_revision) == (last, max(it.history))
            with pytest.raises(NotFoundError, match=f"revision {lost} cannot be restored"):
                PointInTime(it.backups).at_revision(lost)
            assert await it.materialise(last - 1) == it.history[last - 1]

    asyncio.run(main())


def test_merging_and_damage(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as it:
            async with collecting(it.collector()) as collector:
                await it.back_up()
                for _ in range(4):
                    await it.change(3)
                    await written(collector, max(it.history))
            deltas = DeltaStore(it.backups.store)
            ((lineage, spans),) = deltas.list().items()
            assert len(spans) > 2

            whole = deltas.merge(lineage, spans[:-1])
            assert deltas.list() == {lineage: (whole, spans[-1])}
            assert await it.materialise(max(it.history)) == it.history[max(it.history)]

            path = tmp_path / "store/deltas" / str(lineage) / f"{whole.first:020d}-{whole.last:020d}.delta"
            path.write_bytes(path.read_bytes()[:-1])
            with pytest.raises(VerificationError, match=r"\.delta"):
                await it.materialise(max(it.history))

    asyncio.run(main())


def test_a_time_means_the_last_revision_that_was_there_by_then(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as it:
            before = datetime.now(UTC)
            async with collecting(it.collector()) as collector:
                await it.back_up()
                await it.change(5)
                first = await written(collector, max(it.history))
                moment, revision = datetime.now(UTC), first.written_revision
                await it.change(5)
                await written(collector, max(it.history))

            found = PointInTime(it.backups)
            assert found.at_time(moment).path.revision == revision
            assert found.at_time(datetime.now(UTC)).path.revision == max(it.history)
            with pytest.raises(NotFoundError, match="no deltas"):
                found.at_time(before - timedelta(hours=1))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "point"),
    [
        pytest.param("18202994", 18202994, id="a revision"),
        pytest.param("2026-08-22T02:47:30Z", datetime(2026, 8, 22, 2, 47, 30, tzinfo=UTC), id="a time"),
        pytest.param("15m", datetime(2026, 8, 22, 2, 45, tzinfo=UTC), id="so long ago"),
    ],
)
def test_an_operator_names_a_revision_a_time_or_how_long_ago(text: str, point: int | datetime) -> None:
    assert parse_point(text, now=datetime(2026, 8, 22, 3, tzinfo=UTC)) == point
