"""The operator's commands against one real manager with a real etcd: back up, spoil, be refused, restore, undo."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from agents.exit_codes import ExitCode
from etcdmanager.deltas.point_in_time import PointInTime
from tests.support.etcd_binaries import etcd_binaries
from tests.support.managers import ManagerGroup, manager_group

pytestmark = [pytest.mark.etcd, pytest.mark.slow]
CLUSTER = "prod.example.com"


async def etcd_manager(group: ManagerGroup, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "etcdmanager.cli", *words, "--backup-store", group.store_url, "--name", CLUSTER]
    return await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=False)


async def written(group: ManagerGroup) -> bytes:
    async with group.client("etcd-a") as client:
        found = await client.get(b"key")
        assert found is not None
        return found.value


async def until_refused(group: ManagerGroup, *words: str) -> str:
    """Repeat the plan until the leader told of the newer data; return what was said."""
    for _ in range(120):
        done = await etcd_manager(group, *words)
        if done.returncode == ExitCode.REFUSED:
            return done.stdout
        await asyncio.sleep(0.5)
    raise AssertionError(group.logs())


def test_an_operator_backs_up_is_kept_from_losing_data_restores_and_undoes(tmp_path: Path) -> None:
    async def scenario(group: ManagerGroup) -> None:
        group.start_all()
        await group.until_written("etcd-a", b"key", b"good")
        taken = await etcd_manager(group, "backup-now", "main", "--json", "--label", "before")
        name = json.loads(taken.stdout)["name"]
        await group.until_written("etcd-a", b"key", b"bad")
        assert "S3-newer-data" in await until_refused(group, "restore-backup", name, "--plan")
        yes = ("--yes", "--cluster", CLUSTER, "--json")

        restored = await etcd_manager(group, "restore-backup", "main", name, "--discard-newer", *yes)

        assert restored.returncode == ExitCode.OK, restored.stderr
        assert await written(group) == b"good"
        undo = json.loads(restored.stdout)["preRestoreBackup"]
        again = await etcd_manager(group, "restore-backup", "main", undo, "--discard-newer", *yes)
        assert again.returncode == ExitCode.REFUSED
        assert "S7-restored-recently" in again.stderr
        undone = await etcd_manager(group, "restore-backup", "main", undo, "--discard-newer", "--again", *yes)
        assert undone.returncode == ExitCode.OK, undone.stderr
        # A client that watched since the first restore saw more than a billion: the second must be above that, too.
        assert json.loads(undone.stdout)["revision"] > 2_000_000_000
        assert await written(group) == b"bad"

    with manager_group(tmp_path, 1) as group:
        asyncio.run(scenario(group))


def test_a_cluster_goes_back_to_any_moment_between_two_backups_though_its_leader_died(tmp_path: Path) -> None:
    async def revision(group: ManagerGroup) -> int:
        async with group.client("etcd-a") as client:
            return (await client.status()).revision

    def written_up_to(group: ManagerGroup, wanted: int) -> bool:
        windows = PointInTime(group.backups).windows()
        return any(window.last_revision >= wanted for window in windows)

    async def scenario(group: ManagerGroup) -> None:
        group.start_all()
        await group.until_written("etcd-a", b"key", b"first")
        await group.until(lambda: bool(group.backups.list()))
        await group.until_written("etcd-a", b"key", b"good")
        good = await revision(group)
        await group.until(lambda: written_up_to(group, good), within=60)
        killed = group.leader()
        group.kill(killed)
        await group.until_written("etcd-a", b"key", b"bad")
        bad = await revision(group)
        await group.until(lambda: written_up_to(group, bad), within=60)
        group.start(killed)
        listed = await etcd_manager(group, "list-backups")
        assert "any moment from" in listed.stdout, listed.stdout
        words = ("--at", str(good).zfill(5), "--binaries", str(etcd_binaries("default")), "--discard-newer")
        plan = await etcd_manager(group, "restore-backup", "main", *words)
        assert (plan.returncode, "Nothing has been changed" in plan.stdout) == (ExitCode.OK, True), plan.stderr

        restored = await etcd_manager(group, "restore-backup", "main", *words, "--yes", "--cluster", CLUSTER, "--json", "--timeout", "2m")

        assert restored.returncode == ExitCode.OK, restored.stderr
        assert await written(group) == b"good"

    with manager_group(tmp_path, 3) as group:
        asyncio.run(scenario(group))
