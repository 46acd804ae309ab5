"""Machines that are stopped, lost, or built anew elsewhere: what Go's integration tests ask, and more (reference, section 9.2)."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.etcdmanager.scenarios.asking import backed_up, queue_restore, restored, store_path, value, want
from tests.support.managers import manager_group

pytestmark = pytest.mark.etcd


def test_two_of_three_machines_that_come_back_serve_what_all_three_held(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"value")
            for name in group.names:
                group.kill(name, etcd=True)
            del group.managers["etcd-a"]
            group.start("etcd-b")
            group.start("etcd-c")
            await group.until_written("etcd-b", b"another", b"by two")
            assert await value(group, "etcd-c") == b"value"
            group.start("etcd-a")
            await group.until_healthy(within=60)
            assert await value(group, "etcd-a", b"another") == b"by two"

        asyncio.run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("3.5.16", "3.5.16", id="the same etcd"),
        pytest.param("3.4.23", "3.5.16", id="a later etcd"),
        pytest.param("3.5.1", "3.5.30", id="a later patch"),
    ],
)
def test_a_backup_is_restored_on_new_machines_with_new_authorities_addresses_and_names(tmp_path: Path, before: str, after: str) -> None:
    """Nothing is left but the store: as after a region was lost."""
    with manager_group(tmp_path / "old", 1, version=before) as old:

        async def there() -> str:
            old.start_all()
            await old.until_written("etcd-a", b"key", b"value")
            return await backed_up(old, "r1")

        backup = asyncio.run(there())
    with manager_group(tmp_path / "new", 3, version=after) as group:

        async def here() -> None:
            shutil.rmtree(store_path(group))
            shutil.copytree(store_path(old), store_path(group))
            want(group, 3, version=after)
            group.start_all()
            await group.until(lambda: group.waits_for("S1-cluster-was-created") != "", within=40)
            receipt = await restored(group, queue_restore(group, backup, version=after))
            assert receipt.members == group.names
            await group.until_healthy(within=60)
            assert await value(group, "etcd-c") == b"value"

        asyncio.run(here())


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.4.23", "3.5.0", "3.5.30"])
def test_one_grows_to_three_on_every_etcd_that_can_be_had(tmp_path: Path, version: str) -> None:
    with manager_group(tmp_path, 3, version=version) as group:

        async def scenario() -> None:
            want(group, 1, version=version)
            group.start_all()
            await group.until_written("etcd-a", b"key", b"value")
            want(group, 3, version=version)
            await group.until_healthy(within=90)
            for name in group.names:
                assert await value(group, name) == b"value"
                async with group.client(name) as client:
                    assert str((await client.status()).version) == version

        asyncio.run(scenario())
