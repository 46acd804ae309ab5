"""Remembering that a backup was proven."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.errors import AccessError
from agents.stores.local import LocalStore
from etcdmanager.backups.store import BackupStore
from etcdmanager.backups.verify import record, verify_light
from tests.fakes.store_faults import Fault, FaultyStore
from tests.support.snapshot import sample_backups


def test_who_may_only_read_the_store_can_prove_a_backup(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sample_backups(tmp_path / "store")
    read_only = FaultyStore(LocalStore(tmp_path / "store"), Fault(method="write", error=AccessError("read-only"), times=99))
    backups = BackupStore(read_only)
    verified = verify_light(backups, backups.resolve("latest").text, scratch=tmp_path)
    record(backups, verified, kind="light", now=datetime(2026, 1, 4, tzinfo=UTC), by="operator@laptop")
    assert "is proven, but that cannot be remembered: read-only" in caplog.text
