from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.clock import SystemClock
from agents.errors import RefusedError, TransientError
from agents.stores.local import LocalStore
from etcdmanager.backups.name import BackupName
from etcdmanager.backups.retention import Retention, to_delete
from etcdmanager.backups.second_store import COPY_OF, SecondStore, to_copy
from etcdmanager.backups.second_store_keeper import SecondStoreKeeper
from etcdmanager.backups.store import BackupStore, Listed
from etcdmanager.backups.verify import verify_light
from etcdmanager.deltas.chain import Lineage, Span
from etcdmanager.deltas.segment import Change, Moment, Segment
from etcdmanager.deltas.store import DeltaStore
from tests.fakes.store_faults import Fault, FaultyStore
from tests.support.snapshot import SampleBackups, sample_backups

#: The day after the newest sample backup.
NOW = datetime(2026, 1, 4, tzinfo=UTC)
KEEP = Retention()
LINEAGE = Lineage(cluster_id=1, started_at=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def sample(tmp_path: Path) -> SampleBackups:
    return sample_backups(tmp_path / "first")


@pytest.fixture
def source(sample: SampleBackups) -> BackupStore:
    return BackupStore(LocalStore(sample.directory))


@pytest.fixture
def target(tmp_path: Path) -> BackupStore:
    return BackupStore(LocalStore(tmp_path / "second"))


def go_on() -> None:
    """Nobody stops us."""


def add_delta(backups: BackupStore, first: int, last: int) -> None:
    changes = tuple(Change(revision=revision, key=b"k", value=b"v") for revision in range(first, last + 1))
    DeltaStore(backups.store).write(
        LINEAGE, Segment(cluster_id=1, first=first, last=last, changes=changes, moments=(Moment(at=NOW, revision=last),))
    )


def test_all_backups_come_over_newest_first_a_few_at_a_time(
    sample: SampleBackups, source: BackupStore, target: BackupStore, tmp_path: Path
) -> None:
    second = SecondStore(source, target, etcd_cluster="etcd", keep=KEEP)

    first = second.round(NOW, keep_going=go_on)

    assert [backup.text for backup in target.list()] == [sample.bare, sample.newest]
    assert (first.copied, first.missing_backups, first.lag, first.newest_at) == (2, 1, timedelta(), datetime(2026, 1, 3, tzinfo=UTC))
    assert second.round(NOW, keep_going=go_on).missing_backups == 0
    assert second.round(NOW, keep_going=go_on).copied == 0
    assert verify_light(target, sample.oldest, scratch=tmp_path / "scratch").contents.keys == sample.keys


def test_a_damaged_backup_is_told_and_stops_no_other(sample: SampleBackups, source: BackupStore, target: BackupStore) -> None:
    sample.damage(sample.newest)
    second = SecondStore(source, target, etcd_cluster="etcd", keep=KEEP)

    second.round(NOW, keep_going=go_on)
    done = second.round(NOW, keep_going=go_on)

    assert [backup.text for backup in target.list()] == [sample.oldest, sample.bare]
    assert (done.missing_backups, done.lag) == (1, timedelta(days=1))
    assert sample.newest in done.problem


def test_another_clusters_copies_are_left_alone(source: BackupStore, target: BackupStore) -> None:
    SecondStore(source, target, etcd_cluster="etcd-events", keep=KEEP).round(NOW, keep_going=go_on)

    with pytest.raises(RefusedError, match=r"holds copies of .*etcd-events"):
        SecondStore(source, target, etcd_cluster="etcd", keep=KEEP).round(NOW, keep_going=go_on)


def test_the_second_store_has_its_own_retention_and_gets_nothing_that_it_would_delete_at_once(
    sample: SampleBackups, source: BackupStore, target: BackupStore
) -> None:
    short = Retention(hourly=timedelta(hours=1), daily=timedelta(hours=36))
    second = SecondStore(source, target, etcd_cluster="etcd", keep=short)

    for _ in range(2):
        done = second.round(NOW, keep_going=go_on)

    assert [backup.text for backup in target.list()] == [sample.newest]
    assert done.missing_backups == 0
    assert len(source.list()) == 3


def test_deltas_come_over_by_revision_and_not_twice_when_either_store_merges_them(source: BackupStore, target: BackupStore) -> None:
    for revision in range(9, 13):
        add_delta(source, revision, revision)
    second = SecondStore(source, target, etcd_cluster="etcd", keep=KEEP)
    now = datetime.now(UTC)

    second.round(now, keep_going=go_on)
    DeltaStore(source.store).merge(LINEAGE, [Span(first=9, last=9), Span(first=10, last=10)])
    add_delta(source, 13, 20)
    assert second.round(now, keep_going=go_on).missing_deltas == 0

    spans = DeltaStore(target.store).list()[LINEAGE]
    assert spans == (*(Span(first=n, last=n) for n in range(9, 13)), Span(first=13, last=20))
    assert DeltaStore(target.store).read(LINEAGE, Span(first=13, last=20)).last == 20


def test_a_delta_that_is_damaged_or_too_old_is_not_copied(sample: SampleBackups, source: BackupStore, target: BackupStore) -> None:
    now = datetime.now(UTC)
    for revision in (9, 10):
        add_delta(source, revision, revision)
    directory = sample.directory / "deltas" / str(LINEAGE)
    (directory / f"{9:020d}-{9:020d}.delta").write_bytes(b"broken")
    add_delta(source, 11, 11)
    long_ago = (now - timedelta(days=8)).timestamp()
    os.utime(directory / f"{11:020d}-{11:020d}.delta", (long_ago, long_ago))

    done = SecondStore(source, target, etcd_cluster="etcd", keep=KEEP).round(now, keep_going=go_on)

    assert DeltaStore(target.store).list()[LINEAGE] == (Span(first=10, last=10),)
    assert done.missing_deltas == 1


@pytest.mark.parametrize("skip", range(12))
def test_a_round_that_is_cut_off_anywhere_leaves_whole_backups_only_and_the_next_one_goes_on(
    skip: int, sample: SampleBackups, source: BackupStore, target: BackupStore, tmp_path: Path
) -> None:
    add_delta(source, 9, 9)
    faulty = FaultyStore(target.store, Fault(skip=skip, times=1_000))
    try:
        SecondStore(source, BackupStore(faulty), etcd_cluster="etcd", keep=KEEP).round(NOW, keep_going=go_on)
    except TransientError:
        for backup in target.list():
            verify_light(target, backup.text, scratch=tmp_path / "scratch")

    second = SecondStore(source, target, etcd_cluster="etcd", keep=KEEP)
    for _ in range(2):
        done = second.round(NOW, keep_going=go_on)
    assert (done.missing_backups, len(target.list())) == (0, 3)


NAMES = st.builds(
    lambda hours, counter: BackupName.at(NOW - timedelta(minutes=hours), counter), st.integers(0, 60 * 24 * 20), st.integers(1, 3)
)


def listed(name: BackupName) -> Listed:
    return Listed(text=name.text, name=name, size_bytes=10, has_manifest=True, kept=False, modified=NOW)


@given(st.lists(NAMES, unique=True, max_size=15), st.lists(NAMES, unique=True, max_size=15), st.integers(1, 400), st.integers(0, 400))
def test_what_is_copied_is_never_what_retention_takes_away_again(
    ours: list[BackupName], theirs: list[BackupName], hourly: int, more: int
) -> None:
    keep = Retention(hourly=timedelta(hours=hourly), daily=timedelta(hours=hourly + more), keep_verified=0)

    copied = to_copy([listed(n) for n in sorted(ours)], [listed(n) for n in sorted(theirs)], now=NOW, keep=keep)

    names = {backup.name for backup in copied if backup.name is not None}
    assert not names & set(to_delete([*theirs, *names], NOW, keep))
    assert not {n.text for n in names} & {n.text for n in theirs}
    assert [b.taken_at for b in copied] == sorted((b.taken_at for b in copied), reverse=True)


# --- the keeper


class Leading:
    """Whether we lead, as a test says."""

    def __init__(self) -> None:
        self.now = True

    def __call__(self) -> bool:
        return self.now


def keeper(source: BackupStore, target: BackupStore, leading: Leading) -> SecondStoreKeeper:
    return SecondStoreKeeper(
        url=target.url,
        open_second=lambda: SecondStore(source, target, etcd_cluster="etcd", keep=KEEP),
        leading=leading,
        clock=SystemClock(),
    )


def test_only_who_leads_copies_and_tells(source: BackupStore, target: BackupStore) -> None:
    leading = Leading()
    copier = keeper(source, target, leading)

    leading.now = False
    asyncio.run(copier.round())
    assert not copier.news.copying
    assert not target.list()

    leading.now = True
    asyncio.run(copier.round())
    assert copier.news.copying
    assert copier.news.last is not None
    assert copier.news.last.copied == 2

    leading.now = False
    asyncio.run(copier.round())
    assert copier.news.last is None


def test_a_second_store_that_is_away_is_told_since_when_and_caught_up_with(source: BackupStore, target: BackupStore) -> None:
    faulty = FaultyStore(target.store, Fault(error=TransientError("no route", code="store-unreachable"), times=2))
    copier = keeper(source, BackupStore(faulty), Leading())

    asyncio.run(copier.round())
    since = copier.news.problem_since
    asyncio.run(copier.round())
    assert (copier.news.problem_code, copier.news.problem_since) == ("store-unreachable", since)

    asyncio.run(copier.round())
    assert (copier.news.problem, copier.news.problem_since) == ("", None)
    assert target.store.exists(COPY_OF)


def test_a_copy_under_way_ends_with_the_leadership(source: BackupStore, target: BackupStore) -> None:
    answers = iter([True])  # when the round begins, and never again
    copier = SecondStoreKeeper(
        url=target.url,
        open_second=lambda: SecondStore(source, target, etcd_cluster="etcd", keep=KEEP),
        leading=lambda: next(answers, False),
        clock=SystemClock(),
    )

    asyncio.run(copier.round())

    assert not target.list()
    assert not copier.news.problem
