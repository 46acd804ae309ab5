from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.exit_codes import ExitCode
from agents.stores.local import LocalStore
from etcdmanager.backups.exercise import Exercised, Living, contradiction
from etcdmanager.backups.store import BackupStore
from etcdmanager.backups.verify import Booted, Verified, verify_light
from etcdmanager.cli import main_with
from etcdmanager.control.drills import DrillFile
from etcdmanager.control.history import History
from tests.support.snapshot import SampleBackups, sample_backups

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sample(tmp_path: Path) -> SampleBackups:
    return sample_backups(tmp_path / "store")


@pytest.fixture
def run(tmp_path: Path, sample: SampleBackups, capsys: pytest.CaptureFixture[str]) -> Run:
    def main(*words: str) -> tuple[int, str, str]:
        code = main_with([*words, "--backup-store", str(tmp_path / "store")])
        told = capsys.readouterr()
        return int(code), told.out, told.err

    return main


def test_a_drill_that_fails_is_remembered_and_the_backup_is_verified_no_more(run: Run, sample: SampleBackups, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    sample.damage(sample.newest)

    assert run("drill", sample.newest)[0] == ExitCode.VERIFICATION

    drill, manifest = DrillFile(store.child("control")).read(), BackupStore(store).manifest(sample.newest)
    assert drill is not None
    assert drill.problem
    assert manifest is not None
    assert not manifest.verified
    assert [event.what for event in History(store).events()] == ["drill"]
    assert sample.newest not in [one.text for one in BackupStore(store).verified(BackupStore(store).list(), at_most=9)]
    rules = [item["rule"] for item in json.loads(run("doctor", "--json")[1])["items"]]
    assert "EM052" in rules


def test_a_later_proof_makes_a_backup_good_again(run: Run, sample: SampleBackups, tmp_path: Path) -> None:
    store, backups = LocalStore(tmp_path / "store"), BackupStore(LocalStore(tmp_path / "store"))
    good = store.read(f"{sample.newest}/etcd.backup.gz")
    sample.damage(sample.newest)
    run("drill", sample.newest)
    store.write(f"{sample.newest}/etcd.backup.gz", good)

    assert run("verify-backup", sample.newest)[0] == ExitCode.OK
    manifest = backups.manifest(sample.newest)
    assert manifest is not None
    assert manifest.verified


def test_a_backup_that_does_not_exist_is_no_failed_drill(run: Run, tmp_path: Path) -> None:
    assert run("drill", "2031-01-01T00:00:00Z-000001")[0] == ExitCode.NOT_FOUND
    assert not LocalStore(tmp_path / "store").exists("control/_drill.json")


@pytest.fixture
def verified(sample: SampleBackups, tmp_path: Path) -> Verified:
    return verify_light(BackupStore(LocalStore(tmp_path / "store")), sample.newest, scratch=tmp_path / "scratch")


def exercised(**counts: int) -> Exercised:
    booted = Booted(version="3.5.16", revision=7, keys=1, leases=0, hash_kv=1, hash_compact_revision=0)
    return Exercised(booted=booted, counts=counts)


def test_only_the_same_cluster_at_the_same_revision_can_contradict_a_backup(verified: Verified) -> None:
    assert verified.manifest is not None
    same = Living(cluster_id=verified.manifest.cluster_id, at_revision=7, counts={"pods": 2})
    other = Living(cluster_id=same.cluster_id + 1, at_revision=7, counts={"pods": 2})
    now = Living(cluster_id=same.cluster_id, at_revision=0, counts={"pods": 2})

    assert "pods 1 instead of 2" in contradiction(verified, exercised(pods=1), same)
    for living in (other, now, None):
        assert contradiction(verified, exercised(pods=1), living) == ""
    assert contradiction(verified, exercised(pods=2), same) == ""
