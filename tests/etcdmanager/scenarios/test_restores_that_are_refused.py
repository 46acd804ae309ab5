"""Restores that must not begin: of backups that are no good, and commands that no sound mind would queue (B-02, B-06, B-07, B-30)."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.etcdmanager.scenarios.asking import backed_up, ground, queue_restore, refused, restored, store_path, value, want
from tests.support.managers import ManagerGroup, manager_group
from tests.support.write_load import load, missing, until_written

pytestmark = pytest.mark.etcd

SNAPSHOT = "etcd.backup.gz"


def cut_off(directory: Path) -> None:
    path = directory / SNAPSHOT
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def one_byte_changed(directory: Path) -> None:
    content = bytearray(gzip.decompress((directory / SNAPSHOT).read_bytes()))
    content[len(content) // 2] ^= 0x40
    (directory / SNAPSHOT).write_bytes(gzip.compress(bytes(content)))


def a_sound_gzip_of_half_a_database(directory: Path) -> None:
    content = gzip.decompress((directory / SNAPSHOT).read_bytes())
    (directory / SNAPSHOT).write_bytes(gzip.compress(content[: len(content) // 2]))


def nothing_in_it(directory: Path) -> None:
    (directory / SNAPSHOT).write_bytes(b"")


def its_snapshot_gone(directory: Path) -> None:
    (directory / SNAPSHOT).unlink()


def its_metadata_garbled(directory: Path) -> None:
    (directory / "_etcd_backup.meta").write_bytes(b"\x00not json")


DAMAGES: tuple[Callable[[Path], None], ...] = (
    cut_off,
    one_byte_changed,
    a_sound_gzip_of_half_a_database,
    nothing_in_it,
    its_snapshot_gone,
    its_metadata_garbled,
)


async def try_damage(group: ManagerGroup, backup: str, damage: Callable[[Path], None]) -> str:
    """Restore a backup that is damaged for as long as this takes; return the code with which it was given up."""
    directory = store_path(group, backup)
    whole = {path.name: path.read_bytes() for path in directory.iterdir()}
    damage(directory)
    try:
        return (await refused(group, queue_restore(group, backup))).code
    finally:
        for name, content in whole.items():
            (directory / name).write_bytes(content)


def test_a_cluster_serves_on_untouched_whatever_is_wrong_with_the_backup_that_is_to_be_restored(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"value")
            backup = await backed_up(group, "r1")
            before = ground(group)
            async with load(group) as writing:
                await until_written(writing, 10)
                codes = {damage.__name__: await try_damage(group, backup, damage) for damage in DAMAGES}
                codes["unknown"] = (await refused(group, queue_restore(group, "2020-01-01T00:00:00Z-000001"))).code
                await until_written(writing, writing.written + 10)
            assert all(codes.values()), codes
            assert ground(group) == before, "no etcd restarted, nothing in the trash, nothing left of what was prepared"
            assert writing.longest_pause < 2, writing.pauses
            async with group.client("etcd-b") as client:
                assert await missing(client, writing.written) == []
            await group.until_written("etcd-a", b"key", b"second")
            # Put right again, it is restored at once: nothing of the failures sticks to it.
            await restored(group, queue_restore(group, backup))
            assert await value(group, "etcd-c") == b"value"
            print(codes, f"longest pause of writes {writing.longest_pause:.2f} s")

        asyncio.run(scenario())


def test_commands_that_do_not_parse_or_fit_are_given_up_or_left_alone_and_stop_nothing(tmp_path: Path) -> None:
    with manager_group(tmp_path, 1) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_written("etcd-a", b"key", b"first")
            backup = await backed_up(group, "r1")
            before = ground(group)
            for name, content in (
                ("2020-01-01T00:00:00Z-000000", b"{"),
                ("2020-01-01T00:00:01Z-000000", b'{"timestamp": "1", "restoreBackup": {"backup": 5}}'),
                ("2020-01-01T00:00:02Z-000000", b'{"timestamp": "1", "compactEverything": {}}'),
                ("2020-01-01T00:00:03Z-000000", b""),
            ):
                path = store_path(group, "control", name, "_command.json")
                path.parent.mkdir(parents=True)
                path.write_bytes(content)
            no_such_etcd = await refused(group, queue_restore(group, backup, count=0, version="9.9.9"))
            assert no_such_etcd.code == "S9-no-binaries"
            assert ground(group) == before
            await backed_up(group, "r2")
            await group.until_written("etcd-a", b"key", b"second")
            # One with a key that nobody knows is a restore all the same: newer tools may say more than we read.
            command = queue_restore(group, backup)
            path = store_path(group, "control", command, "_command.json")
            path.write_bytes(path.read_bytes().rstrip().removesuffix(b"}") + b', "fromTheFuture": 1}')
            await restored(group, command)
            assert await value(group, "etcd-a") == b"first"

        asyncio.run(scenario())


def test_a_restore_for_more_members_than_there_are_merges_into_nothing(tmp_path: Path) -> None:
    """Go ignores that it formed no cluster then, and writes the backup's keys into the running one (B-06)."""
    with manager_group(tmp_path, 1) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_written("etcd-a", b"key", b"first")
            backup = await backed_up(group, "r1")
            await group.until_written("etcd-a", b"key", b"second")
            before = ground(group)
            command = queue_restore(group, backup, count=3)
            await group.until(lambda: group.waits_for("restore-waits-for-peers") != "" or group.control.failure(command) is not None)
            assert ground(group) == before
            assert await value(group, "etcd-a") == b"second"
            want(group, 1)
            group.control.delete_command(command)
            await backed_up(group, "r2")
            assert ground(group) == before

        asyncio.run(scenario())
