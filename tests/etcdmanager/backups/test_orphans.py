from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.stores.local import LocalStore
from agents.stores.memory import MemoryStore
from etcdmanager.backups.store import BackupStore
from tests.support.snapshot import SampleBackups, sample_backups

NOW = datetime(2026, 1, 10, tzinfo=UTC)
ORPHAN = "2026-01-05T00:00:00Z-000009"


@pytest.fixture
def sample(tmp_path: Path) -> SampleBackups:
    return sample_backups(tmp_path)


def put(directory: Path, key: str, *, age: timedelta) -> None:
    path = directory / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    when = (NOW - age).timestamp()
    os.utime(path, (when, when))


def age_all(directory: Path, age: timedelta) -> None:
    for path in directory.rglob("*"):
        if path.is_file():
            os.utime(path, ((NOW - age).timestamp(),) * 2)


def test_what_an_interrupted_capture_left_goes_after_a_day_by_the_stores_clock(sample: SampleBackups) -> None:
    backups = BackupStore(LocalStore(sample.directory))
    age_all(sample.directory, timedelta(days=7))
    put(sample.directory, f"{ORPHAN}/etcd.backup.gz", age=timedelta(days=2))
    put(sample.directory, f"{ORPHAN}/_etcd_backup.ext.json", age=timedelta(days=2))
    assert backups.orphans() == ()  # nothing newer was written: nobody knows how old it is

    put(sample.directory, "control/_lock.json", age=timedelta())
    put(sample.directory, "2026-01-09T00:00:00Z-000001/etcd.backup.gz", age=timedelta(hours=23))

    assert backups.orphans() == (ORPHAN,)
    assert backups.discard_orphan(ORPHAN)
    assert not backups.discard_orphan(ORPHAN)
    assert not any(entry.key.startswith(ORPHAN) for entry in backups.store.list())
    assert len(backups.list()) == 3


def test_one_that_became_a_backup_meanwhile_stays(sample: SampleBackups) -> None:
    backups = BackupStore(LocalStore(sample.directory))

    assert not backups.discard_orphan(sample.newest)
    assert len(backups.list()) == 3


@pytest.mark.parametrize("key", ["somebody/etcd.backup.gz", f"{ORPHAN}/notes.txt", "deltas/x/y.delta", f"old/{ORPHAN}/etcd.backup.gz"])
def test_what_is_not_ours_to_judge_stays(sample: SampleBackups, key: str) -> None:
    put(sample.directory, key, age=timedelta(days=30))
    put(sample.directory, "control/_lock.json", age=timedelta())

    assert BackupStore(LocalStore(sample.directory)).orphans() == ()


FILES = st.sets(st.sampled_from(["_etcd_backup.meta", "etcd.backup.gz", "_etcd_backup.ext.json", "_keep.json", "other"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([ORPHAN, "2026-01-06T00:00:00Z-000001", "control", "mine"]), FILES))
def test_nothing_with_metadata_is_ever_an_orphan(tree: dict[str, set[str]]) -> None:
    store = MemoryStore()
    backups = BackupStore(store)
    for directory, files in tree.items():
        for file in files:
            store.write(f"{directory}/{file}", b"x")

    for directory, files in tree.items():
        if "_etcd_backup.meta" in files or "other" in files:
            assert not backups.discard_orphan(directory)
    assert backups.orphans() == ()  # all of it is of this moment
