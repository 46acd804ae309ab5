"""Real managers, real etcd, TLS everywhere, on 127.0.0.1 to 127.0.0.3: what an operator would see."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import signal
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from agents.documents import as_list, as_mapping
from agents.errors import AgentError
from agents.exit_codes import ExitCode
from etcdmanager.cli import main_with
from etcdmanager.control.commands import BackupRequest, Receipt
from etcdmanager.spec import ClusterSpec
from tests.support.managers import ManagerGroup, manager_group
from tests.support.members import free_ports
from tests.support.s3 import s3_server

pytestmark = pytest.mark.etcd

VERSION = "3.5.16"


async def until(condition: Callable[[], bool], group: ManagerGroup, *, within: float = 30.0) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within, f"not within {within} s\n{group.logs()}"
        await asyncio.sleep(0.1)
    return time.monotonic() - began


async def value(group: ManagerGroup, name: str, key: bytes) -> bytes | None:
    async with group.client(name) as client:
        found = await client.get(key)
        return None if found is None else found.value


def queue_restore(group: ManagerGroup, backup: str, *, version: str = VERSION) -> str:
    spec = ClusterSpec(member_count=len(group.names), etcd_version=version)
    return group.control.queue_restore(backup=backup, spec=spec, queued_at=datetime.now(UTC)).name


async def backed_up(group: ManagerGroup, request: str) -> str:
    """Return the name of a backup that was asked for."""
    group.control.request_backup(BackupRequest(id=request, requested_by="test", requested_at=datetime.now(UTC)))
    await until(lambda: group.control.backup_answer(request) is not None, group)
    answer = group.control.backup_answer(request)
    assert answer is not None
    assert answer.backup, answer.error
    return answer.backup


async def restored(group: ManagerGroup, command: str) -> Receipt:
    """Return the receipt of a restore, or fail with the reason why there is none."""
    await until(lambda: group.control.receipt(command) is not None or group.control.failure(command) is not None, group, within=60)
    receipt = group.control.receipt(command)
    assert receipt is not None, group.control.failure(command)
    return receipt


def waits_for(group: ManagerGroup, code: str) -> bool:
    """Return whether some manager's status says that it waits for this reason."""
    for manager in group.managers.values():
        for row in as_list(manager.status().get("waiting", []), where="waiting"):
            if str(as_mapping(row, where="waiting")["reason"]).startswith(f"{code}:"):
                return True
    return False


def test_one_manager_forms_a_cluster_that_serves_and_is_backed_up(tmp_path: Path) -> None:
    with manager_group(tmp_path, 1) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_written("etcd-a", b"key", b"value")
            await until(lambda: len(group.backups.list()) == 1, group)
            assert group.control.is_created()
            assert group.control.formation() is None

        asyncio.run(scenario())


def test_three_managers_form_one_cluster_within_fifteen_seconds_and_each_member_serves(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            began = time.monotonic()
            group.start_all()
            await group.until_written("etcd-a", b"key", b"value")
            assert time.monotonic() - began < 15
            await group.until_healthy()
            assert [await value(group, name, b"key") for name in group.names] == [b"value"] * 3

        asyncio.run(scenario())


def test_a_killed_leader_and_its_etcd_are_survived_and_come_back(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"value")
            first = group.leader()
            group.kill(first, etcd=True)
            other = next(name for name in group.names if name != first)
            await group.until_written(other, b"key", b"without it", within=10)
            await until(lambda: group.leader() not in {"", first}, group, within=30)
            group.start(first)
            await group.until_healthy()
            assert await value(group, first, b"key") == b"without it"

        asyncio.run(scenario())


def test_a_manager_that_is_killed_alone_leaves_etcd_serving_and_adopts_it_when_it_returns(tmp_path: Path) -> None:
    with manager_group(tmp_path, 1) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_written("etcd-a", b"key", b"value")
            pid = group.managers["etcd-a"].etcd_pid()
            group.kill("etcd-a")
            assert await value(group, "etcd-a", b"key") == b"value"
            group.start("etcd-a")
            await until(lambda: group.managers["etcd-a"].status().get("state") == "running", group)
            assert group.managers["etcd-a"].etcd_pid() == pid
            assert await value(group, "etcd-a", b"key") == b"value"

        asyncio.run(scenario())


def test_a_whole_cluster_that_was_killed_comes_back_with_its_data(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"value")
            for name in group.names:
                group.kill(name, etcd=True)
            group.start_all()
            await group.until_healthy()
            assert await value(group, "etcd-b", b"key") == b"value"

        asyncio.run(scenario())


def test_a_lost_marker_is_written_again_and_never_costs_the_data(tmp_path: Path) -> None:
    with manager_group(tmp_path, 1) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_written("etcd-a", b"key", b"value")
            await until(group.control.is_created, group)
            group.store.delete("control/etcd-cluster-created")
            await until(group.control.is_created, group)
            assert await value(group, "etcd-a", b"key") == b"value"

        asyncio.run(scenario())


def test_blank_disks_beside_backups_form_no_new_cluster(tmp_path: Path) -> None:
    with manager_group(tmp_path, 1) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_written("etcd-a", b"key", b"value")
            await until(lambda: len(group.backups.list()) == 1, group)
            group.kill("etcd-a", etcd=True)
            shutil.rmtree(group.managers["etcd-a"].data_dir)
            group.store.delete("control/etcd-cluster-created")
            group.start("etcd-a")
            await until(lambda: waits_for(group, "S1-backups-exist"), group)
            assert group.control.formation() is None

        asyncio.run(scenario())


def test_a_restore_brings_back_keys_and_leases_with_later_revisions_and_can_be_undone(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            async with group.client("etcd-a") as client:
                lease = await client.grant(3600)
                await client.put(b"leased", b"x", lease_id=lease)
                for number in range(100):
                    await client.put(b"key/%03d" % number, b"first")
                before = (await client.status()).revision
            backup = await backed_up(group, "r1")
            async with group.client("etcd-b") as client:
                await client.put(b"key/000", b"second")
                await client.delete(b"key/001")
            receipt = await restored(group, queue_restore(group, backup))
            assert receipt.keys == 101
            await group.until_healthy()
            for name in group.names:
                assert await value(group, name, b"key/000") == b"first"
                assert await value(group, name, b"key/001") == b"first"
            async with group.client("etcd-c") as client:
                assert (await client.status()).revision > before + 1_000_000
                found = await client.get(b"leased")
                assert found is not None
                assert found.lease_id == lease
            undo = await restored(group, queue_restore(group, receipt.pre_restore_backup))
            await group.until_healthy()
            assert undo.keys == 100
            assert await value(group, "etcd-a", b"key/000") == b"second"

        asyncio.run(scenario())


def test_a_truncated_or_unknown_backup_is_refused_and_nothing_of_the_cluster_changes(tmp_path: Path) -> None:
    with manager_group(tmp_path, 1) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_written("etcd-a", b"key", b"value")
            backup = await backed_up(group, "r1")
            path = tmp_path / "store/backups/etcd/main" / backup / "etcd.backup.gz"
            content = gzip.decompress(path.read_bytes())
            path.write_bytes(gzip.compress(content[: len(content) // 2]))
            pid = group.managers["etcd-a"].etcd_pid()
            for name in (backup, "2020-01-01T00:00:00Z-000001"):
                command = queue_restore(group, name)
                await until(lambda command=command: group.control.failure(command) is not None, group)  # type: ignore[misc]
                failure = group.control.failure(command)
                assert failure is not None
                assert failure.code
            assert await value(group, "etcd-a", b"key") == b"value"
            assert group.managers["etcd-a"].etcd_pid() == pid, "etcd was not even restarted"

        asyncio.run(scenario())


def test_a_cluster_that_lost_all_its_disks_is_restored_from_the_store(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"value")
            backup = await backed_up(group, "r1")
            for name in group.names:
                group.kill(name, etcd=True)
                shutil.rmtree(group.managers[name].data_dir)
            group.start_all()
            await until(lambda: waits_for(group, "S1-cluster-was-created"), group, within=40)
            await restored(group, queue_restore(group, backup))
            await group.until_healthy()
            assert await value(group, "etcd-c", b"key") == b"value"

        asyncio.run(scenario())


def test_a_restore_survives_the_death_of_the_leader_in_its_middle(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"first")
            backup = await backed_up(group, "r1")
            await group.until_written("etcd-a", b"key", b"second")
            leader = group.leader()
            command = queue_restore(group, backup)

            def committing() -> bool:
                claim = group.control.claim(command)
                return claim is not None and claim.document.committing_at is not None

            await until(committing, group)
            group.kill(leader)
            group.start(leader)
            await restored(group, command)
            await group.until_healthy()
            assert await value(group, "etcd-b", b"key") == b"first"

        asyncio.run(scenario())


def test_a_paused_leader_is_succeeded_and_changes_nothing_when_it_wakes(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            first = group.leader()
            os.kill(group.managers[first].process.pid, signal.SIGSTOP)
            await until(lambda: group.leader() not in {"", first}, group, within=30)
            second = group.leader()
            os.kill(group.managers[first].process.pid, signal.SIGCONT)
            await asyncio.sleep(3)
            assert group.leader() == second
            await until(lambda: group.managers[first].status().get("message") == f"follows {second}", group)

        asyncio.run(scenario())


@pytest.mark.slow
def test_a_member_whose_disk_came_back_blank_is_replaced_through_a_learner(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"value")
            lost = next(name for name in group.names if name != group.leader())
            group.kill(lost, etcd=True)
            shutil.rmtree(group.managers[lost].data_dir)
            group.start(lost)
            began = time.monotonic()

            async def listed() -> bool:
                try:
                    async with group.client(lost) as client:
                        found = await client.members(linearizable=True, deadline=timedelta(seconds=1))
                except AgentError:
                    return False
                return len(found.members) == 3 and not any(m.is_learner for m in found.members)

            while not await listed():
                assert time.monotonic() - began < 120, group.logs()
                await asyncio.sleep(0.5)
            assert await value(group, lost, b"key") == b"value"

        asyncio.run(scenario())


def test_a_control_store_that_was_emptied_under_a_running_cluster_costs_nothing(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"value")
            await until(group.control.is_created, group)
            pids = [group.managers[name].etcd_pid() for name in group.names]
            shutil.rmtree(tmp_path / "store/backups/etcd/main")
            await until(lambda: group.control.is_created() and waits_for(group, "no-cluster-spec"), group, within=60)
            assert await value(group, "etcd-b", b"key") == b"value"
            assert [group.managers[name].etcd_pid() for name in group.names] == pids
            await until(lambda: len(group.backups.list()) == 1, group)

        asyncio.run(scenario())


@pytest.mark.s3
def test_a_cluster_is_led_backed_up_and_restored_through_an_s3_api(tmp_path: Path) -> None:
    with (
        s3_server() as s3,
        manager_group(tmp_path, 3, store_url=f"{s3.url}/backups/etcd/main", environment=dict(s3.environment)) as group,
    ):

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"first")
            backup = await backed_up(group, "r1")
            await group.until_written("etcd-a", b"key", b"second")
            first = group.leader()
            group.kill(first)
            await until(lambda: group.leader() not in {"", first}, group, within=30)
            group.start(first)
            await restored(group, queue_restore(group, backup))
            await group.until_healthy()
            assert await value(group, "etcd-c", b"key") == b"first"

        asyncio.run(scenario())


def test_status_and_members_tell_the_same_from_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await until(lambda: main_with(["status", "--backup-store", group.store_url]) == 0, group)
            capsys.readouterr()
            assert main_with(["members", "--backup-store", group.store_url]) == 0
            table = capsys.readouterr().out
            assert [name for name in group.names if name in table] == list(group.names)
            group.kill(next(name for name in group.names if name != group.leader()), etcd=True)
            await until(lambda: main_with(["status", "--backup-store", group.store_url]) == 2, group)
            capsys.readouterr()
            main_with(["status", "--backup-store", group.store_url])
            shown = capsys.readouterr().out
            assert "degraded" in shown
            assert "2/3" in shown

        asyncio.run(scenario())


def test_a_leader_that_is_told_to_stop_hands_over_at_once_and_leaves_its_etcd_running(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            first = group.leader()
            manager = group.managers[first]
            pid = manager.etcd_pid()
            manager.process.terminate()
            assert await asyncio.to_thread(manager.process.wait, 10) == 0
            await until(lambda: group.leader() not in {"", first}, group, within=8)
            assert pid is not None
            assert psutil.pid_exists(pid)
            await group.until_written(first, b"key", b"served by an etcd without a manager")

        asyncio.run(scenario())


def test_health_readiness_status_and_metrics_are_served_on_loopback(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with manager_group(tmp_path, 1, extra=(f"--etcd-manager-metrics-port={port}",)) as group:

        def get(path: str) -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                text: str = answer.read().decode()
                return text

        def ready() -> bool:
            try:
                return get("/readyz") == "ok\n"
            except OSError:
                return False

        async def scenario() -> None:
            group.start_all()
            await until(ready, group)
            assert get("/healthz") == "ok\n"
            assert '"kind": "Status"' in get("/status")
            assert "etcd_manager_is_leader 1.0" in get("/metrics")

        asyncio.run(scenario())


def test_a_second_manager_on_the_same_data_is_turned_away(tmp_path: Path) -> None:
    with manager_group(tmp_path, 1) as group:

        async def scenario() -> None:
            first = group.start("etcd-a")
            await group.until_written("etcd-a", b"key", b"value")
            second = group.start("etcd-a")
            assert await asyncio.to_thread(second.process.wait, 10) == ExitCode.BUSY
            assert first.process.poll() is None
            group.managers["etcd-a"] = first

        asyncio.run(scenario())


async def voters(group: ManagerGroup, asked: str) -> list[str]:
    """Return the names of those that vote, by a linearizable list; empty while there are learners or nobody agrees."""
    try:
        async with group.client(asked) as client:
            found = await client.members(linearizable=True, deadline=timedelta(seconds=1))
    except AgentError:
        return []
    return [] if any(m.is_learner for m in found.members) else sorted(m.name for m in found.members)


def test_a_cluster_grows_from_one_to_three_through_learners_and_shrinks_back_to_one(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def until_voters(names: list[str]) -> None:
            began = time.monotonic()
            while await voters(group, "etcd-a") != names:
                assert time.monotonic() - began < 60, group.logs()
                await asyncio.sleep(0.3)

        async def scenario() -> None:
            group.control.write_spec(ClusterSpec(member_count=1, etcd_version=VERSION))
            group.start_all()
            await until_voters(["etcd-a"])
            await group.until_written("etcd-a", b"key", b"value")
            group.control.write_spec(ClusterSpec(member_count=3, etcd_version=VERSION))
            await until_voters(["etcd-a", "etcd-b", "etcd-c"])
            assert await value(group, "etcd-c", b"key") == b"value"
            group.control.write_spec(ClusterSpec(member_count=1, etcd_version=VERSION))
            await asyncio.sleep(1)
            began = time.monotonic()
            left: list[str] = []
            while len(left) != 1:
                assert time.monotonic() - began < 60, group.logs()
                found = [await voters(group, name) for name in group.names]
                left = min((names for names in found if names), key=len, default=[])
                await asyncio.sleep(0.3)
            assert await value(group, left[0], b"key") == b"value"

        asyncio.run(scenario())
