"""A control store that says nothing, or was emptied, while there is data: no second cluster is ever formed (B-01, B-14, law R2)."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

import pytest

from tests.etcdmanager.scenarios.asking import cluster_id, ground, store_path, value, want
from tests.support.managers import manager_group

pytestmark = pytest.mark.etcd


def test_a_marker_that_is_deleted_under_a_live_cluster_is_written_again_though_the_leader_changes_at_that_moment(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"value")
            await group.until(lambda: group.control.is_created() and len(group.backups.list()) > 0)
            before, identity = ground(group), await cluster_id(group, "etcd-a")
            for backup in group.backups.list():
                shutil.rmtree(store_path(group, backup.name.text))
            group.store.delete("control/etcd-cluster-created")
            first = group.leader()
            group.managers[first].process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(group.managers[first].process.wait, 10)
            await group.until(group.control.is_created)
            assert group.leader() != first
            assert group.control.formation() is None
            assert ground(group) == before
            assert await cluster_id(group, "etcd-b") == identity
            assert await value(group, "etcd-b") == b"value"

        asyncio.run(scenario())


def test_managers_that_start_with_an_empty_store_serve_what_is_on_their_disks(tmp_path: Path) -> None:
    """A wrong --backup-store, or a bucket that a lifecycle rule emptied, met at a reboot of all machines."""
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"value")
            identity = await cluster_id(group, "etcd-a")
            for name in group.names:
                group.kill(name, etcd=True)
            shutil.rmtree(store_path(group))
            want(group, 3)
            group.start_all()
            await group.until_healthy(within=60)
            await group.until(group.control.is_created)
            assert group.control.formation() is None
            assert await cluster_id(group, "etcd-c") == identity
            assert await value(group, "etcd-c") == b"value"
            assert not any((group.managers[name].data_dir / "data-trashcan").exists() for name in group.names)

        asyncio.run(scenario())


def test_one_disk_with_data_among_blank_ones_and_an_empty_store_form_nothing(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"value")
            for name in group.names:
                group.kill(name, etcd=True)
            shutil.rmtree(store_path(group))
            for name in ("etcd-a", "etcd-b"):
                shutil.rmtree(group.managers[name].data_dir)
            want(group, 3)
            group.start_all()
            await group.until(lambda: group.waits_for("no-quorum") != "", within=60)
            assert group.control.formation() is None
            assert not group.control.is_created()
            assert [bool(group.managers[name].etcd_pid()) for name in group.names] == [False, False, True]

        asyncio.run(scenario())
