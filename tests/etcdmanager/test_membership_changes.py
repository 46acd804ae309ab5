"""Growing, shrinking, replacing and recovering with real managers and real etcd, through the operator's verbs where there are some."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.exit_codes import ExitCode
from etcdmanager.spec import ClusterSpec
from tests.support.managers import NAMES, ManagerGroup, manager_group

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

VERSION = "3.5.16"
CLUSTER = "prod.example.com"


def want(group: ManagerGroup, count: int) -> None:
    group.control.write_spec(ClusterSpec(member_count=count, etcd_version=VERSION))


async def etcd_manager(group: ManagerGroup, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "etcdmanager.cli", *words, "--backup-store", group.store_url, "--name", CLUSTER]
    return await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=False)


async def until_members(group: ManagerGroup, asked: str, *names: str, within: float = 90) -> None:
    """Wait until etcd lists exactly these, all voters, by what `asked` says with a quorum's agreement."""
    try:
        async with asyncio.timeout(within):
            while True:
                found = await group.members(asked)
                if sorted(m.name for m in found) == sorted(names) and not any(m.is_learner for m in found):
                    return
                await asyncio.sleep(0.3)
    except TimeoutError:
        raise AssertionError(f"{await group.members(asked)}\n{group.logs()}") from None


async def value(group: ManagerGroup, name: str) -> bytes | None:
    async with group.client(name) as client:
        found = await client.get(b"key")
        return None if found is None else found.value


def test_a_cluster_grows_from_one_to_three_to_five_and_shrinks_to_three_and_to_one(tmp_path: Path) -> None:
    with manager_group(tmp_path, 5) as group:

        async def scenario() -> None:
            want(group, 1)
            group.start_all()
            await group.until_written("etcd-a", b"key", b"value")
            for count in (3, 5, 3, 1):
                want(group, count)
                await until_members(group, "etcd-a", *NAMES[:count])
                await group.until_written("etcd-a", b"key", b"%d" % count)
                assert await value(group, NAMES[count - 1]) == b"%d" % count
            await group.until(lambda: all(not (group.managers[n].data_dir / "data").exists() or not _data(group, n) for n in NAMES[1:]))

        asyncio.run(scenario())


def _data(group: ManagerGroup, name: str) -> list[str]:
    return [path.name for path in (group.managers[name].data_dir / "data").iterdir() if not path.name.startswith(".")]


def test_five_shrink_to_three_where_the_machines_are_gone(tmp_path: Path) -> None:
    with manager_group(tmp_path, 5) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            gone = [name for name in NAMES if name != group.leader()][:2]
            for name in gone:
                group.kill(name, etcd=True)
            want(group, 3)
            left = [name for name in NAMES if name not in gone]
            await until_members(group, left[0], *left)
            await group.until_written(left[0], b"key", b"value")

        asyncio.run(scenario())


@pytest.mark.timeout(700)
def test_a_dead_voter_is_replaced_by_an_empty_peer_of_another_name(tmp_path: Path) -> None:
    """Five minutes of patience, in real time: the one test that waits for them."""
    with manager_group(tmp_path, 4) as group:

        async def scenario() -> None:
            want(group, 3)
            group.start_all()
            await until_members(group, "etcd-a", "etcd-a", "etcd-b", "etcd-c")
            leader = group.leader()
            dead = next(name for name in ("etcd-a", "etcd-b", "etcd-c") if name != leader)
            group.kill(dead, etcd=True)
            began = datetime.now(UTC)
            left = sorted({"etcd-a", "etcd-b", "etcd-c", "etcd-d"} - {dead})
            await until_members(group, next(n for n in left if n != "etcd-d"), *left, within=420)
            assert (datetime.now(UTC) - began).total_seconds() > 290
            await group.until_written("etcd-d", b"key", b"value")

        asyncio.run(scenario())


def test_an_operator_moves_the_lead_asks_who_may_stop_and_replaces_a_member(tmp_path: Path) -> None:
    with manager_group(tmp_path, 4) as group:

        async def scenario() -> None:
            want(group, 3)
            group.start_all()
            await until_members(group, "etcd-a", "etcd-a", "etcd-b", "etcd-c")
            await group.until_written("etcd-a", b"key", b"value")
            await group.until(lambda: safe(group) == ExitCode.OK, within=90)
            moved = await etcd_manager(group, "move-leader", "etcd-c")
            assert moved.returncode == ExitCode.OK, moved.stderr
            async with group.client("etcd-c") as client:
                status = await client.status()
                assert status.is_leader
            yes = ("--yes", "--cluster", CLUSTER, "--reason", "INC-1")
            refused = await etcd_manager(group, "remove-member", "etcd-c", *yes)
            assert refused.returncode == ExitCode.REFUSED
            assert "members-as-wanted" in refused.stderr
            replaced = await etcd_manager(group, "replace-member", "etcd-c", *yes)
            assert replaced.returncode == ExitCode.OK, replaced.stderr
            await until_members(group, "etcd-a", "etcd-a", "etcd-b", "etcd-d")
            assert await value(group, "etcd-d") == b"value"
            history = await etcd_manager(group, "history")
            assert "INC-1" in history.stdout
            group.kill("etcd-b", etcd=True)
            await group.until(lambda: safe(group, "etcd-a") == ExitCode.REFUSED, within=90)

        asyncio.run(scenario())


def safe(group: ManagerGroup, name: str = "etcd-b") -> int:
    argv = [sys.executable, "-m", "etcdmanager.cli", "members", "--safe-to-stop", name, "--backup-store", group.store_url]
    return subprocess.run(argv, capture_output=True, check=False).returncode


def test_a_cluster_is_recovered_from_its_last_member_with_what_no_backup_has(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until(lambda: len(group.backups.list()) > 0)
            await group.until_written("etcd-a", b"key", b"in no backup")
            for name in ("etcd-b", "etcd-c"):
                group.kill(name, etcd=True)
            await group.until(lambda: group.leader() == "etcd-a" and group.waits_for("no-quorum", "etcd-a") != "", within=60)
            await group.until(lambda: recoverable(group), within=60)
            done = await etcd_manager(group, "recover-from-member", "main", "etcd-a", "--yes", "--cluster", CLUSTER, "--json")
            assert done.returncode == ExitCode.OK, done.stderr + group.logs()
            assert json.loads(done.stdout)["members"] == ["etcd-a"]
            assert await value(group, "etcd-a") == b"in no backup"
            await group.until_written("etcd-a", b"key", b"later")
            trash = [path.name for path in (group.managers["etcd-a"].data_dir / "data-trashcan").iterdir()]
            assert trash, "the undo"

        asyncio.run(scenario())


def recoverable(group: ManagerGroup) -> bool:
    argv = [sys.executable, "-m", "etcdmanager.cli", "recover-from-member", "main", "etcd-a", "--plan", "--backup-store", group.store_url]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0
