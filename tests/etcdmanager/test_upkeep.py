"""Databases that fill up and members that differ, with real managers and real etcds."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.documents import as_list, as_mapping
from agents.errors import RefusedError
from agents.exit_codes import ExitCode
from etcdmanager.cli import main_with
from etcdmanager.etcd.client import EtcdClient
from tests.support.managers import ManagerGroup, manager_group

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

QUOTA = 24 << 20
#: A leader waits two minutes before it defragments, and ten before it compacts; here seconds.
IMPATIENT = {
    "ETCD_QUOTA_BACKEND_BYTES": str(QUOTA),
    "ETCD_MANAGER_DEFRAGMENT_AFTER": "1s",
    "ETCD_MANAGER_COMPACT_OLDER_THAN": "5s",
    "ETCD_MANAGER_HASH_COMPARISON_INTERVAL": "3s",
}


def leader_log(group: ManagerGroup) -> str:
    return "\n".join(manager.log() for manager in group.managers.values())


def waits(group: ManagerGroup) -> str:
    manager = group.managers.get(group.leader())
    rows = as_list(manager.status().get("waiting", []), where="waiting") if manager is not None else []
    return "; ".join(str(as_mapping(row, where="waiting")["reason"]) for row in rows)


async def until(condition: Callable[[], bool], group: ManagerGroup, *, within: float = 60) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within, f"not within {within} s; {waits(group)}\n{group.logs()}"
        await asyncio.sleep(0.2)


async def fill(client: EtcdClient) -> None:
    """Write new values to four keys until etcd refuses; all but the last of each can be compacted."""
    for number in range(200):
        await client.put(b"key/%d" % (number % 4), os.urandom(512 << 10))


@pytest.mark.parametrize("version", ["3.4.23", "3.5.16", "3.5.30"])
def test_a_cluster_that_reached_its_quota_comes_back_by_itself(tmp_path: Path, version: str) -> None:
    with manager_group(tmp_path, 3, version=version, environment=IMPATIENT) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            async with group.client("etcd-a") as client:
                with pytest.raises(RefusedError, match="database space exceeded"):
                    await fill(client)
                began = time.monotonic()
                await group.until_written("etcd-a", b"after", b"it writes again", within=120)
                print(f"{version}: writes again after {time.monotonic() - began:.1f} s")
            await until(lambda: "disarmed NOSPACE" in leader_log(group), group)
            assert "compacted at revision" in leader_log(group)
            for name in group.names:
                assert f"defragmented {name}" in leader_log(group)
                async with group.client(name) as client:
                    assert (await client.status()).db_size_bytes < QUOTA // 2
                    assert await client.get(b"after") is not None

        asyncio.run(scenario())


def damage(group: ManagerGroup, name: str, before: bytes, after: bytes) -> None:
    """Change a value in a running member's database file: etcd has it mapped into memory, and pages have no checksums."""
    (path,) = (group.managers[name].data_dir / "data").glob("*/member/snap/db")
    content = path.read_bytes()
    assert before in content
    with path.open("r+b") as file:
        at = content.find(before)
        while at >= 0:
            file.seek(at)
            file.write(after)
            at = content.find(before, at + 1)


@pytest.mark.parametrize("version", ["3.4.23", "3.5.30"])
def test_members_are_compared_and_one_that_holds_other_keys_is_named_and_left_alone(tmp_path: Path, version: str) -> None:
    with manager_group(tmp_path, 3, version=version, environment=IMPATIENT) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"as it was written")
            await until(lambda: "all 3 members hold the same keys" in leader_log(group), group)
            pid = group.managers["etcd-c"].etcd_pid()
            damage(group, "etcd-c", b"as it was written", b"as it was DAMAGED")
            await until(lambda: "members-differ: " in waits(group) and "etcd-c holds other keys" in waits(group), group)
            assert group.managers["etcd-c"].etcd_pid() == pid

        asyncio.run(scenario())


def test_all_members_are_defragmented_one_by_one_because_an_operator_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with manager_group(tmp_path, 3, environment=IMPATIENT) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"value")
            words = ["defrag", "--rolling", "--backup-store", group.store_url]
            planned = await asyncio.to_thread(main_with, [*words, "--plan"])
            while planned != ExitCode.OK or capsys.readouterr().out.count("etcd-") < 3:
                await asyncio.sleep(0.5)
                planned = await asyncio.to_thread(main_with, [*words, "--plan"])
            assert await asyncio.to_thread(main_with, words) == ExitCode.OK
            told = capsys.readouterr().out
            for name in group.names:
                assert f"{name} is defragmented" in told
                assert f"defragmented {name}" in leader_log(group)

        asyncio.run(scenario())


def test_quota_and_sizes_are_told(tmp_path: Path) -> None:
    with manager_group(tmp_path, 1, environment=IMPATIENT) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_written("etcd-a", b"key", b"value")

            def row() -> dict[str, object]:
                details = as_mapping(group.managers["etcd-a"].status().get("details", {}), where="details")
                cluster = details.get("cluster")
                rows = as_list(as_mapping(cluster, where="cluster")["members"], where="members") if cluster else []
                return as_mapping(rows[0], where="row") if rows else {}

            await until(lambda: row().get("quotaBytes") == QUOTA and bool(row().get("serves")), group)
            assert row()["freeBytes"]

        asyncio.run(scenario())
