from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.stores.memory import MemoryStore
from etcdmanager.backups.name import BackupName
from etcdmanager.backups.retention import Retention, to_delete
from etcdmanager.backups.store import BackupStore

NOW = datetime(2026, 8, 22, 12, 30, tzinfo=UTC)
KEEP = Retention(hourly=timedelta(days=7), daily=timedelta(days=90))


def taken(text: str, counter: int = 1) -> BackupName:
    return BackupName.at(datetime.fromisoformat(text).replace(tzinfo=UTC), counter)


ages = st.timedeltas(min_value=timedelta(hours=-2), max_value=timedelta(days=200))
names = st.builds(lambda age, counter: BackupName.at(NOW - age, counter), ages, st.integers(0, 3))
collections = st.frozensets(names, max_size=40)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("2018-02-20T04:47:55Z-000002", True),
        ("2018-02-20T04:47:55Z", True),
        ("2018-02-20T04:47:55Z-", True),
        ("2018-02-20T04:47:55Z-anything else", True),
        ("", False),
        ("2018", False),
        ("Z-", False),
        ("2018-02-30T04:47:55Z-000002", False),
        ("2018-02-20T04:47:55Z-a/b", False),
        ("2018-02-20T04:47:55+00:00-000002", False),
    ],
)
def test_names_parse_as_in_go(text: str, valid: bool) -> None:
    assert (BackupName.parse(text) is not None) == valid


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)), st.integers(0, 10**7))  # noqa: DTZ001
def test_a_name_parses_back_to_its_second(moment: datetime, counter: int) -> None:
    name = BackupName.at(moment.replace(tzinfo=UTC), counter)

    assert BackupName.parse(name.text) == name
    assert name.taken_at == moment.replace(microsecond=0, tzinfo=UTC)


def test_every_backup_of_the_last_hour_stays() -> None:
    backups = [taken(f"2026-08-22T12:0{minute}:00") for minute in range(10)]

    assert to_delete(backups, NOW, KEEP) == ()


def test_the_first_of_each_hour_and_then_of_each_day_stays() -> None:
    first, second = taken("2026-08-21T10:05:00"), taken("2026-08-21T10:20:00")
    old, older = taken("2026-07-01T09:00:00"), taken("2026-07-01T08:00:00")
    newest = taken("2026-08-22T12:25:00")

    assert to_delete([first, second, old, older, newest], NOW, KEEP) == (old, second)


def test_what_is_older_than_the_daily_retention_goes() -> None:
    ancient, newest = taken("2025-01-01T00:00:00"), taken("2026-08-22T12:25:00")

    assert to_delete([ancient, newest], NOW, KEEP) == (ancient,)


def test_the_last_three_known_good_ones_stay_though_they_are_ancient() -> None:
    good = [taken(f"2024-01-0{day}T00:00:00") for day in range(1, 6)]
    newest = taken("2026-08-22T12:25:00")

    assert to_delete([*good, newest], NOW, KEEP, verified=good) == tuple(good[:2])


def test_what_a_queued_restore_names_stays() -> None:
    ancient, newest = taken("2025-01-01T00:00:00"), taken("2026-08-22T12:25:00")

    assert to_delete([ancient, newest], NOW, KEEP, protected=[ancient.text]) == ()


@given(collections)
def test_the_newest_is_never_deleted(backups: frozenset[BackupName]) -> None:
    assert not backups or max(backups) not in to_delete(backups, NOW, KEEP)


@given(collections, st.data())
def test_the_three_newest_verified_are_never_deleted(backups: frozenset[BackupName], data: st.DataObject) -> None:
    verified = [name for name in sorted(backups) if data.draw(st.booleans())]

    assert not set(verified[-3:]) & set(to_delete(backups, NOW, KEEP, verified=verified))


@given(collections)
def test_deleting_is_finished_after_one_round(backups: frozenset[BackupName]) -> None:
    rest = backups - set(to_delete(backups, NOW, KEEP))

    assert to_delete(rest, NOW, KEEP) == ()


@given(collections, st.randoms(use_true_random=False))
def test_order_does_not_matter(backups: frozenset[BackupName], random: object) -> None:
    shuffled = sorted(backups, key=lambda name: hash((name.text, repr(random))))

    assert to_delete(shuffled, NOW, KEEP) == to_delete(backups, NOW, KEEP)


@given(collections)
def test_a_day_that_had_a_backup_keeps_one_while_daily_retention_lasts(backups: frozenset[BackupName]) -> None:
    rest = backups - set(to_delete(backups, NOW, KEEP))

    days = {name.taken_at.date() for name in backups if NOW - name.taken_at < KEEP.daily - timedelta(days=1)}
    assert days <= {name.taken_at.date() for name in rest}


def test_a_clock_that_is_far_ahead_of_the_stores_deletes_no_more_than_a_right_one() -> None:
    store, present = MemoryStore(), datetime.now(UTC)
    for days in range(30):
        name = BackupName.at(present - timedelta(days=days), 1).text
        store.write(f"{name}/_etcd_backup.meta", b"{}")
    backups = BackupStore(store)
    assert backups.expired(present, KEEP) == ()
    assert backups.expired(present + timedelta(days=3650), KEEP) == ()
