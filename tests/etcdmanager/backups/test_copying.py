from __future__ import annotations

from pathlib import Path

import pytest

from agents.errors import VerificationError
from agents.stores.local import LocalStore
from etcdmanager.backups.copying import copy_backup, missing_in
from etcdmanager.backups.store import BackupStore
from etcdmanager.backups.verify import verify_light
from tests.support.snapshot import SampleBackups, sample_backups


@pytest.fixture
def sample(tmp_path: Path) -> SampleBackups:
    return sample_backups(tmp_path / "source")


@pytest.fixture
def source(sample: SampleBackups) -> BackupStore:
    return BackupStore(LocalStore(sample.directory))


@pytest.fixture
def target(tmp_path: Path) -> BackupStore:
    return BackupStore(LocalStore(tmp_path / "target"))


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_copy_is_the_same_bytes_and_can_be_proven_there(
    sample: SampleBackups, source: BackupStore, target: BackupStore, tmp_path: Path
) -> None:
    for backup in source.list():
        assert copy_backup(source, target, backup.text).was_copied

    assert files(tmp_path / "target") == files(sample.directory)
    assert verify_light(target, sample.bare, scratch=tmp_path / "scratch").contents.keys == sample.keys - 1
    assert missing_in(source.list(), target.list()) == ()


def test_what_is_there_already_is_not_written_again(sample: SampleBackups, source: BackupStore, target: BackupStore) -> None:
    copy_backup(source, target, sample.newest)

    assert not copy_backup(source, target, sample.newest).was_copied


def test_a_damaged_backup_is_never_copied(sample: SampleBackups, source: BackupStore, target: BackupStore, tmp_path: Path) -> None:
    sample.damage(sample.newest)

    with pytest.raises(VerificationError):
        copy_backup(source, target, sample.newest)

    assert not files(tmp_path / "target")


def test_a_copy_that_was_cut_off_is_no_backup_and_is_made_anew(
    sample: SampleBackups, source: BackupStore, target: BackupStore, tmp_path: Path
) -> None:
    target.write_snapshot(sample.newest, b"half")

    assert [backup.text for backup in missing_in(source.list(), target.list())] == [sample.oldest, sample.bare, sample.newest]
    assert copy_backup(source, target, sample.newest).was_copied
    assert verify_light(target, sample.newest, scratch=tmp_path / "scratch").contents.keys == sample.keys


def test_a_pin_stays_where_it_was_set(sample: SampleBackups, source: BackupStore, target: BackupStore) -> None:
    source.pin(sample.newest)

    copy_backup(source, target, sample.newest)

    assert [backup.kept for backup in target.list()] == [False]
