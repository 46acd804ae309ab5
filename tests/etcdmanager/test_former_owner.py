"""Taking over from kops' etcd-manager: waiting for it, and what is told meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.clock import SystemClock
from agents.daemon import Daemon
from etcdmanager.former_owner import CODE, DEADLINE, FormerOwner, is_manifest_of, status_of, wait_until_gone, waiting_for
from etcdmanager.member.proc import find_etcds
from tests.support.etcd_binaries import etcd_binaries
from tests.support.former_owner import FormerManager, environment_of, former_manager, strip_to_go
from tests.support.managers import ManagerGroup, manager_group
from tests.support.members import VERSION, World, form, make_world, running_member, wait_serving

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POD = FormerOwner(processes=("/ko-app/etcd-manager (process 7) manages etcd cluster etcd", "/opt/etcd (process 8) runs on /mnt/x/data"))


def test_what_is_waited_for_is_named_with_a_deadline_and_a_hint() -> None:
    waiting = waiting_for(POD, NOW)
    assert waiting.reason.startswith(f"{CODE}: ")
    assert "process 7" in waiting.reason
    assert waiting.reason.endswith("(and 1 more)")
    assert waiting.until == NOW + DEADLINE
    assert "kubelet" in waiting.hint


def test_a_manifest_goes_before_the_processes_that_it_makes() -> None:
    waiting = waiting_for(FormerOwner(processes=POD.processes, manifests=("/etc/kubernetes/manifests/etcd-main-a.manifest",)), NOW)
    assert "etcd-main-a.manifest" in waiting.reason
    assert "nodeup apply" in waiting.hint


def test_after_the_deadline_it_is_degraded_and_waited_for_still() -> None:
    on_time, late = (status_of("a", POD, since=NOW, now=NOW + after) for after in (timedelta(), DEADLINE + timedelta(seconds=1)))
    assert (on_time.state, late.state) == ("waiting", "degraded")
    assert on_time.waiting == late.waiting
    assert late.details["formerOwner"] == {"processes": list(POD.processes), "manifests": []}


def test_only_manifests_of_this_etcd_cluster_are_its() -> None:
    assert is_manifest_of("etcd-main-control-plane-us-test-1a.manifest", "etcd")
    assert is_manifest_of("etcd-events-control-plane.manifest", "etcd-events")
    assert not is_manifest_of("etcd-events-control-plane.manifest", "etcd")
    assert not is_manifest_of("kube-apiserver.manifest", "etcd")
    assert not is_manifest_of(".etcd-main-a.manifest.swp", "etcd")


def test_where_nobody_else_is_nothing_is_waited_for_or_told() -> None:
    told: list[FormerOwner] = []
    assert asyncio.run(wait_until_gone(FormerOwner, lambda former, _: told.append(former), Daemon("a"), SystemClock()))
    assert told == []


def test_a_manager_that_is_told_to_stop_does_not_begin_where_another_still_is() -> None:
    async def scenario() -> bool:
        daemon, loop = Daemon("a"), asyncio.get_running_loop()
        return await wait_until_gone(lambda: POD, lambda *_: loop.call_soon_threadsafe(daemon.stopping.set) and None, daemon, SystemClock())

    assert not asyncio.run(scenario())


# --- with etcd


async def kept(group: ManagerGroup) -> tuple[int, int, dict[bytes, bytes]]:
    """Return the cluster's id, the member's, and the keys."""
    async with group.client("etcd-a") as client:
        status = await client.status()
        found = {key: await client.get(key) for key in (b"before", b"during")}
        return status.cluster_id, status.member_id, {key: value.value for key, value in found.items() if value is not None}


async def until_serving(group: ManagerGroup) -> None:
    async with group.client("etcd-a") as client:
        await wait_serving(client, deadline=timedelta(seconds=30))


async def put(group: ManagerGroup, key: bytes) -> None:
    async with group.client("etcd-a") as client:
        await client.put(key, b"kept")


def etcds(group: ManagerGroup) -> list[int]:
    return [found.pid for found in find_etcds(f"{group.managers['etcd-a'].data_dir}/data")]


@pytest.fixture
def group(tmp_path: Path) -> Iterator[ManagerGroup]:
    with manager_group(tmp_path, 1) as made:
        yield made


def make_cluster_of_go(group: ManagerGroup) -> dict[str, str]:
    """Make a cluster with a key, leave of it what Go would have; return the variables that its etcd is started with."""
    manager = group.start("etcd-a")
    asyncio.run(group.until_written("etcd-a", b"before", b"kept"))
    pid = manager.etcd_pid()
    assert pid is not None
    environment = environment_of(pid)
    asyncio.run(group.until(group.control.is_created, within=20))
    group.kill("etcd-a", etcd=True)
    asyncio.run(group.until(lambda: not etcds(group)))
    strip_to_go(manager.data_dir)
    return environment


def start_ours(group: ManagerGroup, former: FormerManager) -> None:
    """Start our manager beside the former one; return once it waits."""
    group.start("etcd-a")
    asyncio.run(group.until(lambda: group.waits_for(CODE) != ""))
    assert f"process {former.process.pid})" in group.waits_for(CODE)


@pytest.mark.etcd
def test_etcd_is_taken_over_with_its_member_id_and_keys_once_the_former_manager_is_gone(group: ManagerGroup, tmp_path: Path) -> None:
    environment = make_cluster_of_go(group)
    with former_manager(tmp_path, environment, cluster="etcd", etcd=etcd_binaries(VERSION) / "etcd") as former:
        asyncio.run(until_serving(group))
        asyncio.run(put(group, b"during"))
        before, control = asyncio.run(kept(group)), sorted(entry.key for entry in group.store.child("control").list())

        start_ours(group, former)

        assert etcds(group) == [former.etcd_pid()]
        killed = former.etcd_pid()
        os.kill(killed, signal.SIGKILL)
        asyncio.run(group.until(lambda: former.etcd_pid() != killed))
        asyncio.run(until_serving(group))
        assert etcds(group) == [former.etcd_pid()], "it restarts its own etcd, and we start none in between"
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((group.address("etcd-a"), group.grpc_port), timeout=2).close()
        assert sorted(entry.key for entry in group.store.child("control").list()) == control
        former.end()

    asyncio.run(group.until(lambda: group.managers["etcd-a"].status().get("state") == "running", within=60))
    asyncio.run(until_serving(group))
    assert asyncio.run(kept(group)) == before
    assert before[2] == {b"before": b"kept", b"during": b"kept"}
    assert etcds(group) == [group.managers["etcd-a"].etcd_pid()]
    assert "forming" not in group.managers["etcd-a"].log().rpartition("waiting for")[2]


@pytest.mark.etcd
def test_a_manager_that_is_stopped_while_it_waits_leaves_the_former_one_alone(group: ManagerGroup, tmp_path: Path) -> None:
    environment = make_cluster_of_go(group)
    with former_manager(tmp_path, environment, cluster="etcd", etcd=etcd_binaries(VERSION) / "etcd") as former:
        asyncio.run(until_serving(group))
        start_ours(group, former)
        ours = group.managers["etcd-a"].process
        ours.terminate()
        assert ours.wait(timeout=20) == 0
        assert former.process.poll() is None
        assert etcds(group) == [former.etcd_pid()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.mark.etcd
def test_a_member_starts_no_etcd_beside_another_and_says_who_is_in_the_way(world: World, tmp_path: Path) -> None:
    async def first() -> dict[str, str]:
        async with running_member(world, "etcd-a", "127.0.0.1") as one, one.client() as client:
            await form(one)
            await wait_serving(client)
            await client.put(b"key", b"value")
            assert one.member.process.record is not None
            return environment_of(one.member.process.record.pid)

    async def second(former: FormerManager) -> None:
        async with running_member(world, "etcd-a", "127.0.0.1") as one, one.client() as client:
            await wait_serving(client)
            assert one.member.process.record is None
            assert one.member.hold is not None
            assert one.member.hold.code == "EM-M7-data-held"
            assert f"process {former.etcd_pid()})" in one.member.hold.reason
            await asyncio.to_thread(former.end)
            async with asyncio.timeout(15):
                while one.member.process.record is None:
                    await one.member.converge(deadline=timedelta(seconds=10))
            await wait_serving(client)
            assert one.member.hold is None
            found = await client.get(b"key")
            assert found is not None
            assert found.value == b"value"

    environment = asyncio.run(first())
    strip_to_go(tmp_path / "etcd-a")
    with former_manager(tmp_path, environment, cluster="etcd", etcd=etcd_binaries(VERSION) / "etcd") as former:
        asyncio.run(second(former))


@pytest.mark.etcd
def test_a_member_waits_for_a_port_and_names_who_has_it(world: World) -> None:
    async def scenario() -> None:
        async with running_member(world, "etcd-a", "127.0.0.1") as one, one.client() as client:
            with socket.create_server(("127.0.0.1", world.ports.client)):
                await form(one)
                await one.member.converge(deadline=timedelta(seconds=10))
                assert one.member.hold is not None
                assert one.member.hold.code == "EM-M8-port-taken"
                assert f"process {os.getpid()}) listens at 127.0.0.1 port {world.ports.client}" in one.member.hold.reason
            await one.member.converge(deadline=timedelta(seconds=10))
            await wait_serving(client)

    asyncio.run(scenario())
