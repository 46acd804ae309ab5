"""A manager with all that brings backups through the loss of a store: encrypted, copied elsewhere, spooled while the store is away."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.errors import AgentError
from agents.exit_codes import ExitCode
from agents.stores.local import LocalStore
from etcdmanager.backups.encryption import MAGIC
from etcdmanager.backups.store import BackupStore
from etcdmanager.cli import main_with
from tests.support.managers import ManagerGroup, manager_group
from tests.support.s3 import s3_server

pytestmark = [pytest.mark.etcd, pytest.mark.slow]


async def until(condition: Callable[[], bool], group: ManagerGroup, *, within: float) -> None:
    try:
        async with asyncio.timeout(within):
            while not await asyncio.to_thread(condition):  # noqa: ASYNC110  the condition is another process's
                await asyncio.sleep(0.2)
    except TimeoutError:
        pytest.fail(f"not within {within} s\n{group.logs()[-6000:]}")


def spooled(group: ManagerGroup) -> list[str]:
    """Return what waits at the first member, as its status tells it."""
    try:
        details = json.loads((group.directory / f"{group.names[0]}.status.json").read_bytes())["details"]
    except (OSError, ValueError):
        return []
    return [one["name"] for one in (details.get("spool") or {}).get("backups", [])]


def stored(group: ManagerGroup) -> list[str]:
    try:
        return [backup.text for backup in group.backups.list()]
    except AgentError:
        return []


def test_backups_outlive_a_store_that_is_away_and_one_that_is_lost_and_nobody_reads_them_without_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keys").write_text(base64.b64encode(b"k" * 32).decode())
    (tmp_path / "keys").chmod(0o600)
    copies = BackupStore(LocalStore(tmp_path / "copies"))
    extra = ("--backup-interval=20s", f"--backup-copy-store=file://{tmp_path}/copies", f"--backup-encryption-key-file={tmp_path}/keys")
    with s3_server() as s3:
        port = int(s3.endpoint.rpartition(":")[2])
        with manager_group(tmp_path, 1, store_url=f"{s3.url}/etcd/main", environment=dict(s3.environment), extra=extra) as group:

            async def scenario() -> None:
                group.start_all()
                await group.until_healthy()
                await group.until_written("etcd-a", b"key", b"value")
                await until(lambda: bool(copies.list()), group, within=90)
                await until(lambda: any("deltas/" in entry.key for entry in copies.store.list()), group, within=90)
                s3.stop()
                # The older of two: the leader's first backup when the store is back may be of about the time of the newer one.
                await until(lambda: len(spooled(group)) > 1, group, within=180)
                waiting = spooled(group)[-1]
                with s3_server(port=port):
                    await until(lambda: waiting in stored(group), group, within=120)
                    await until(lambda: not spooled(group), group, within=60)

            asyncio.run(scenario())
    newest = copies.list()[-1].text
    assert copies.store.read(f"{newest}/etcd.backup.gz").startswith(MAGIC)
    words = ["verify-backup", newest, "--backup-store", f"file://{tmp_path}/copies", "--scratch", str(tmp_path / "scratch")]
    assert main_with(words) == ExitCode.ACCESS
    assert main_with([*words, "--key-file", str(tmp_path / "keys")]) == ExitCode.OK
    assert "ok" in capsys.readouterr().out
