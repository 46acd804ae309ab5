from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import AccessError, AgentError, TransientError
from agents.stores.local import LocalStore
from etcdmanager.backups.name import BackupName
from etcdmanager.backups.spool import Spool
from etcdmanager.backups.spool_keeper import SpoolKeeper, SpoolWork, Uploads
from etcdmanager.backups.spool_plan import AWAY_FOR, NEWEST, Drop, Rest, Spooled, SpoolView, Take, Upload, is_covered, next_step
from etcdmanager.backups.store import BackupStore
from etcdmanager.backups.verify import verify_light
from tests.fakes.clock import FakeClock
from tests.fakes.store_faults import Fault, FaultyStore
from tests.support.snapshot import SampleBackups, manifest, sample_backups, snapshot

NOW = datetime(2026, 1, 4, tzinfo=UTC)
INTERVAL = timedelta(minutes=15)
MIB = 1 << 20


def spooled(age: timedelta, counter: int = 1) -> Spooled:
    return Spooled(name=BackupName.at(NOW - age, counter).text, taken_at=NOW - age, size_bytes=MIB)


WELL = SpoolView(now=NOW, interval=INTERVAL, away_for=None, answers=True, spooled=(), free_bytes=1000 * MIB, db_size_bytes=10 * MIB)
AWAY = replace(WELL, away_for=timedelta(minutes=6), answers=False)


@pytest.mark.parametrize(
    ("view", "step"),
    [
        pytest.param(WELL, Rest(), id="all is well"),
        pytest.param(replace(AWAY, away_for=timedelta(minutes=4)), Rest(), id="away for a moment"),
        pytest.param(AWAY, Take(), id="away for long"),
        pytest.param(replace(AWAY, answers=True), Take(), id="it answers, and takes no backups"),
        pytest.param(replace(AWAY, interval=timedelta(minutes=1), away_for=timedelta(minutes=1)), Take(), id="a short interval"),
        pytest.param(replace(AWAY, spooled=(spooled(timedelta(minutes=14)),)), Rest(), id="the last one is young"),
        pytest.param(replace(AWAY, spooled=(spooled(timedelta(minutes=15)),)), Take(), id="the last one is an interval old"),
        pytest.param(replace(AWAY, spooled=(spooled(-timedelta(hours=1)),)), Take(), id="a clock was wrong"),
        pytest.param(replace(AWAY, db_size_bytes=None), Rest(problem="our etcd does not serve"), id="no etcd"),
        pytest.param(replace(AWAY, free_bytes=44 * MIB), Rest(problem="44 MiB are free, wanted 45 MiB"), id="no room"),
        pytest.param(
            replace(WELL, spooled=(spooled(timedelta(minutes=30)), spooled(timedelta(minutes=15)))),
            Upload(name=spooled(timedelta(minutes=15)).name),
            id="back again: the newest first",
        ),
        pytest.param(
            replace(AWAY, free_bytes=24 * MIB, spooled=(spooled(timedelta(minutes=30)), spooled(timedelta(minutes=15)))),
            Drop(name=spooled(timedelta(minutes=30)).name, why="only 24 MiB are free"),
            id="the disk fills up",
        ),
        pytest.param(
            replace(AWAY, free_bytes=24 * MIB, spooled=(spooled(timedelta(minutes=5)),)), Rest(), id="the last one stays while it can"
        ),
    ],
)
def test_each_situation_has_one_step(view: SpoolView, step: object) -> None:
    assert next_step(view) == step


VIEWS = st.builds(
    SpoolView,
    now=st.just(NOW),
    interval=st.timedeltas(timedelta(minutes=1), timedelta(days=1)),
    away_for=st.none() | st.timedeltas(timedelta(0), timedelta(days=3)),
    answers=st.booleans(),
    spooled=st.lists(st.timedeltas(timedelta(0), timedelta(days=3)), max_size=5, unique=True).map(
        lambda ages: tuple(spooled(age) for age in sorted(ages, reverse=True))
    ),
    free_bytes=st.integers(0, 200 * MIB),
    db_size_bytes=st.none() | st.integers(0, 40 * MIB),
)


@given(VIEWS)
def test_the_newest_backup_is_never_dropped_for_tidiness_and_the_disk_is_never_filled(view: SpoolView) -> None:
    step = next_step(view)
    match step:
        case Drop(name=name):
            assert name == view.spooled[0].name
            assert len(view.spooled) > 1 or view.free_bytes < (view.db_size_bytes or 0)
        case Take():
            assert view.away_for is not None
            assert view.away_for >= min(AWAY_FOR, view.interval)
            assert view.db_size_bytes is not None
            assert view.free_bytes >= 4.5 * view.db_size_bytes - 1
            assert len(view.spooled) <= NEWEST
        case Upload(name=name):
            assert view.answers
            assert name == view.spooled[-1].name


def test_another_members_backup_of_that_time_covers_ours_but_no_other_clusters_and_no_unproven_one() -> None:
    ours = manifest(snapshot(7))
    same = replace(ours, taken_at=ours.taken_at + timedelta(minutes=7))

    assert is_covered(ours, [same], interval=INTERVAL)
    assert not is_covered(ours, [replace(same, cluster_id=9)], interval=INTERVAL)
    assert not is_covered(ours, [replace(same, checks=())], interval=INTERVAL)
    assert not is_covered(ours, [replace(same, taken_at=ours.taken_at + timedelta(minutes=8))], interval=INTERVAL)


# --- effects


def go_on() -> None:
    """Nobody stops us."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def sample(directory: Path) -> SampleBackups:
    return sample_backups(directory)


@pytest.fixture
def store(tmp_path: Path) -> BackupStore:
    return BackupStore(LocalStore(tmp_path / "store"))


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("skip", range(10))
def test_an_upload_that_is_cut_off_anywhere_loses_nothing_and_is_finished_the_next_time(
    skip: int, after_effect: bool, directory: Path, sample: SampleBackups, store: BackupStore, tmp_path: Path
) -> None:
    spool = Spool(directory)
    faulty = BackupStore(FaultyStore(store.store, Fault(skip=skip, times=1_000, after_effect=after_effect)))
    try:
        spool.upload(sample.newest, faulty, interval=INTERVAL, keep_going=go_on)
    except AgentError:
        assert sample.newest in {one.name for one in spool.spooled()}

    if sample.newest in {one.name for one in spool.spooled()}:
        spool.upload(sample.newest, store, interval=INTERVAL, keep_going=go_on)

    assert [backup.text for backup in store.list()] == [sample.newest]
    assert verify_light(store, sample.newest, scratch=tmp_path / "scratch").contents.keys == sample.keys
    assert not (directory / sample.newest).exists()


def test_one_that_got_damaged_here_is_dropped_and_never_stored(directory: Path, sample: SampleBackups, store: BackupStore) -> None:
    sample.damage(sample.newest)

    Spool(directory).upload(sample.newest, store, interval=INTERVAL, keep_going=go_on)

    assert not store.list()
    assert not (directory / sample.newest).exists()


def test_one_that_the_store_has_an_equal_of_is_not_uploaded(directory: Path, sample: SampleBackups, store: BackupStore) -> None:
    content = snapshot(7)
    other = "2026-01-03T00:05:00Z-000777"
    taken = replace(manifest(content), taken_at=datetime(2026, 1, 3, 0, 5, tzinfo=UTC), gz_sha256="another")
    store.write_snapshot(other, content)
    store.commit(other, BackupStore(LocalStore(directory)).meta(sample.newest), taken)
    mine = BackupStore(LocalStore(directory))
    mine.write_manifest(sample.newest, replace(manifest(content), taken_at=datetime(2026, 1, 3, tzinfo=UTC)))

    Spool(directory).upload(sample.newest, store, interval=INTERVAL, keep_going=go_on)

    assert [backup.text for backup in store.list()] == [other]
    assert not (directory / sample.newest).exists()


def test_what_an_interrupted_capture_left_is_swept_and_whole_ones_stay(directory: Path, sample: SampleBackups) -> None:
    (directory / "2026-01-03T01:00:00Z-000001").mkdir()
    (directory / "2026-01-03T01:00:00Z-000001" / ".partial-x").write_bytes(b"half")

    Spool(directory).sweep()

    assert sorted(path.name for path in directory.iterdir()) == [sample.oldest, sample.bare, sample.newest]
    Spool(directory.parent / "nothing").sweep()


# --- the keeper


class Etcd:
    """An etcd that is backed up by copying one sample backup under the name of the moment."""

    def __init__(self, source: Path, clock: FakeClock) -> None:
        self._sample = sample_backups(source)
        self._clock = clock
        self.uploads = Uploads()
        self.error: AgentError | None = None
        self.taken = 0

    async def take(self, spool: BackupStore) -> None:
        if self.error is not None:
            raise self.error
        self.taken += 1
        name = BackupName.at(self._clock.now(), self.taken).text
        source = BackupStore(LocalStore(self._sample.directory))
        spool.write_snapshot(name, source.stream(self._sample.newest))
        document = source.manifest(self._sample.newest)
        assert document is not None
        spool.commit(name, source.meta(self._sample.newest), replace(document, taken_at=self._clock.now()))

    async def db_size(self) -> int | None:
        return MIB


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def etcd(tmp_path: Path, clock: FakeClock) -> Etcd:
    return Etcd(tmp_path / "etcd", clock)


def keeper_of(directory: Path, store: BackupStore, etcd: Etcd, clock: FakeClock, ground: Callable[[], None] = go_on) -> SpoolKeeper:
    work = SpoolWork(take=etcd.take, db_size=etcd.db_size, uploads=lambda: etcd.uploads, require_ground=ground)
    return SpoolKeeper(Spool(directory), store, work, directory=str(directory), interval=INTERVAL, clock=clock)


async def settle(keeper: SpoolKeeper) -> None:
    while await keeper.round():
        pass


def test_while_the_store_is_away_the_newest_three_wait_here_and_go_there_when_it_is_back(
    directory: Path, store: BackupStore, etcd: Etcd, clock: FakeClock
) -> None:
    faulty = FaultyStore(store.store, Fault(error=TransientError("no route"), times=1_000))
    keeper = keeper_of(directory, BackupStore(faulty), etcd, clock)

    for _ in range(66):
        asyncio.run(settle(keeper))
        clock.advance(timedelta(minutes=1))
    asyncio.run(settle(keeper))
    assert etcd.taken == 5
    assert keeper.news.away_since == NOW
    waiting = [one.name for one in keeper.news.spooled]
    assert waiting == [BackupName.at(NOW + timedelta(minutes=5 + 15 * n), n + 1).text for n in (2, 3, 4)]

    faulty.plan.clear()
    asyncio.run(settle(keeper))
    assert [backup.text for backup in store.list()] == waiting
    assert (keeper.news.spooled, keeper.news.away_since) == ((), None)
    assert not list(directory.iterdir())


def test_a_store_that_answers_and_takes_no_backups_is_away_too(directory: Path, store: BackupStore, etcd: Etcd, clock: FakeClock) -> None:
    refusing = FaultyStore(store.store, Fault(method="write", error=AccessError("403"), times=1_000))
    keeper = keeper_of(directory, BackupStore(refusing), etcd, clock)
    for _ in range(7):
        etcd.uploads = etcd.uploads.after(failed=True, now=clock.now())
        asyncio.run(settle(keeper))
        clock.advance(timedelta(minutes=1))
    assert etcd.taken == 1
    assert "403" in keeper.news.problem

    clock.advance(INTERVAL)  # another member was asked, and could: this one need not go on
    asyncio.run(settle(keeper))
    assert etcd.taken == 1


def test_an_etcd_that_is_cut_off_from_its_cluster_is_not_spooled_and_that_is_told(
    directory: Path, store: BackupStore, etcd: Etcd, clock: FakeClock
) -> None:
    keeper = keeper_of(directory, BackupStore(FaultyStore(store.store, Fault(times=1_000))), etcd, clock)
    asyncio.run(settle(keeper))
    clock.advance(AWAY_FOR)
    etcd.error = TransientError("etcd: no leader")

    asyncio.run(settle(keeper))

    assert (etcd.taken, keeper.news.problem) == (0, "etcd: no leader")


def test_nothing_is_written_where_the_volume_is_gone(directory: Path, store: BackupStore, etcd: Etcd, clock: FakeClock) -> None:
    gone: list[AgentError] = []

    def ground() -> None:
        if gone:
            raise gone[0]

    keeper = keeper_of(directory, BackupStore(FaultyStore(store.store, Fault(times=1_000))), etcd, clock, ground)
    asyncio.run(settle(keeper))
    clock.advance(AWAY_FOR)
    gone.append(TransientError("the volume is gone"))

    asyncio.run(settle(keeper))

    assert not directory.exists()
    assert keeper.news.problem == "the volume is gone"
