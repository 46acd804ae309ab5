"""Changes of version with real managers and real etcds, under write load: nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.documents import as_list, as_mapping
from agents.errors import AgentError
from etcdmanager.control.commands import BackupRequest
from etcdmanager.spec import ClusterSpec
from tests.support.etcd_binaries import CACHE, etcd_binaries
from tests.support.managers import ManagerGroup, manager_group
from tests.support.write_load import Load, load, missing, until_written

pytestmark = pytest.mark.etcd


async def versions(group: ManagerGroup) -> set[str]:
    found = set()
    for name in group.names:
        try:
            async with group.client(name) as client:
                found.add((await client.status(deadline=timedelta(seconds=1))).version)
        except AgentError:
            found.add("away")
    return found


def ask_for(group: ManagerGroup, version: str) -> None:
    group.control.write_spec(ClusterSpec(member_count=len(group.names), etcd_version=version))


async def until_all_run(group: ManagerGroup, version: str, *, within: float = 90) -> float:
    began = time.monotonic()
    while await versions(group) != {version}:
        assert time.monotonic() - began < within, f"not at {version} within {within} s\n{group.logs()}"
        await asyncio.sleep(0.2)
    return time.monotonic() - began


async def until_one_runs(group: ManagerGroup, version: str, *, within: float = 60) -> None:
    began = time.monotonic()
    while version not in await versions(group):
        assert time.monotonic() - began < within, f"nobody at {version} within {within} s\n{group.logs()}"
        await asyncio.sleep(0.1)


def codes(group: ManagerGroup) -> set[str]:
    """Return the codes that the leading manager's status tells."""
    manager = group.managers.get(group.leader())
    rows = as_list(manager.status().get("waiting", []), where="waiting") if manager is not None else []
    return {str(as_mapping(row, where="waiting")["reason"]).partition(":")[0] for row in rows}


async def until_told(group: ManagerGroup, code: str, *, within: float = 60) -> None:
    began = time.monotonic()
    while code not in codes(group):
        assert time.monotonic() - began < within, f"{code} was not told within {within} s, but {codes(group)}\n{group.logs()}"
        await asyncio.sleep(0.2)


async def upgraded(group: ManagerGroup, old: str, new: str) -> Load:
    """Form a cluster of `old`, take it to `new` under load, and prove that nothing is lost."""
    group.start_all()
    await group.until_healthy()
    async with load(group) as running:
        await until_written(running, 50)
        running.longest_pause, running.pauses = 0.0, []
        ask_for(group, new)
        took = await until_all_run(group, new)
        await until_written(running, running.written + 50)
    print(f"{old} to {new}: {took:.1f} s, {running.written} writes, longest pause {running.longest_pause:.2f} s, {running.pauses}")
    await group.until_healthy()
    for name in group.names:
        async with group.client(name) as client:
            assert await missing(client, running.written) == []
    return running


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("3.4.23", "3.5.16"),
        pytest.param("3.5.1", "3.5.30", marks=pytest.mark.slow),
        pytest.param("3.5.16", "3.5.1", marks=pytest.mark.slow),
    ],
)
def test_members_change_their_version_one_by_one_and_no_write_is_lost(tmp_path: Path, old: str, new: str) -> None:
    etcd_binaries(new)
    with manager_group(tmp_path, 3, version=old) as group:
        running = asyncio.run(upgraded(group, old, new))
        assert running.longest_pause < 5


@pytest.mark.slow
def test_a_leader_that_dies_in_the_middle_of_an_upgrade_is_succeeded_by_one_that_finishes_it(tmp_path: Path) -> None:
    etcd_binaries("3.5.30")
    with manager_group(tmp_path, 3, version="3.5.1") as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            async with load(group) as running:
                ask_for(group, "3.5.30")
                await until_one_runs(group, "3.5.30")
                leader = group.leader()
                group.kill(leader, etcd=True)
                assert len(await versions(group)) > 1, "it was in the middle"
                await asyncio.sleep(1)
                group.start(leader)
                await until_all_run(group, "3.5.30")
            for name in group.names:
                async with group.client(name) as client:
                    assert await missing(client, running.written) == []

        asyncio.run(scenario())


@pytest.mark.slow
def test_a_binary_that_one_machine_lacks_is_waited_for_before_anything_restarts(tmp_path: Path) -> None:
    own = {name: tmp_path / f"binaries-{name}" for name in ("etcd-a", "etcd-b", "etcd-c")}
    for name, directory in own.items():
        directory.mkdir()
        for version in ("3.5.1", "3.5.16") if name != "etcd-c" else ("3.5.1",):
            (directory / f"etcd-v{version}").symlink_to(etcd_binaries(version))
    with manager_group(tmp_path, 3, version="3.5.1", binaries=own) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            pids = {name: group.managers[name].etcd_pid() for name in group.names}
            ask_for(group, "3.5.16")
            await until_told(group, "upgrade-needs-binaries")
            assert {name: group.managers[name].etcd_pid() for name in group.names} == pids, "nothing was restarted"
            (own["etcd-c"] / "etcd-v3.5.16").symlink_to(CACHE / "3.5.16")
            await until_all_run(group, "3.5.16")

        asyncio.run(scenario())


@pytest.mark.slow
def test_a_version_that_does_not_start_stops_at_one_member_and_is_taken_back(tmp_path: Path) -> None:
    own = {name: tmp_path / f"binaries-{name}" for name in ("etcd-a", "etcd-b", "etcd-c")}
    for directory in own.values():
        directory.mkdir()
        (directory / "etcd-v3.5.1").symlink_to(etcd_binaries("3.5.1"))
        broken = directory / "etcd-v3.5.16"
        shutil.copytree(etcd_binaries("3.5.16"), broken)
        (broken / "etcd").write_text('#!/bin/sh\ncase "$*" in *--version*) echo "etcd Version: 3.5.16";; *) exit 1;; esac\n')
        (broken / "etcd").chmod(0o755)
    with manager_group(tmp_path, 3, version="3.5.1", binaries=own) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            ask_for(group, "3.5.16")
            await until_told(group, "upgrade-waits-for-member")
            await asyncio.sleep(5)
            assert await versions(group) == {"3.5.1", "away"}
            ask_for(group, "3.5.1")
            await until_all_run(group, "3.5.1")

        asyncio.run(scenario())


@pytest.mark.slow
def test_what_etcd_does_not_take_down_is_told_and_a_backup_of_the_older_version_leads_back(tmp_path: Path) -> None:
    etcd_binaries("3.5.16")
    with manager_group(tmp_path, 3, version="3.4.23") as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            async with group.client("etcd-a") as client:
                lease = await client.grant(3600)
                await client.put(b"key", b"as 3.4 had it", lease_id=lease)
            request = BackupRequest(id="r1", requested_by="test", requested_at=datetime.now(UTC))
            group.control.request_backup(request)
            await until_true(lambda: group.control.backup_answer("r1") is not None, group)
            answer = group.control.backup_answer("r1")
            assert answer is not None
            ask_for(group, "3.5.16")
            await until_all_run(group, "3.5.16")
            await asyncio.sleep(6)  # etcd raises the cluster's version within about four seconds
            pids = {name: group.managers[name].etcd_pid() for name in group.names}
            ask_for(group, "3.4.23")
            await until_told(group, "downgrade-needs-restore")
            assert {name: group.managers[name].etcd_pid() for name in group.names} == pids, "nothing was restarted"
            spec = ClusterSpec(member_count=3, etcd_version="3.4.23")
            command = group.control.queue_restore(backup=answer.backup, spec=spec, queued_at=datetime.now(UTC)).name
            await until_true(lambda: group.control.receipt(command) is not None, group, within=90)
            await until_all_run(group, "3.4.23")
            async with group.client("etcd-b") as client:
                found = await client.get(b"key")
                assert found is not None
                assert (found.value, found.lease_id) == (b"as 3.4 had it", lease)

        asyncio.run(scenario())


async def until_true(condition: Callable[[], bool], group: ManagerGroup, *, within: float = 60) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within, f"not within {within} s\n{group.logs()}"
        await asyncio.sleep(0.2)
