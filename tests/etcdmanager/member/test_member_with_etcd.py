"""One member with a real etcd: started, adopted, restarted, fenced, archived."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from agents.errors import AccessError, AgentError, RefusedError
from agents.stores.local import LocalStore
from etcdmanager.backups.store import BackupStore
from etcdmanager.member.state import KeptState
from etcdmanager.peering import messages as m
from etcdmanager.spec import ClusterSpec
from tests.support.members import HEADER, VERSION, RunningMember, World, form, make_world, running_member, wait_serving

pytestmark = pytest.mark.etcd


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


async def until(condition: Callable[[], bool], *, deadline: float = 15) -> None:
    async with asyncio.timeout(deadline):
        while not condition():  # noqa: ASYNC110  the condition is another process's
            await asyncio.sleep(0.02)


async def until_started(one: RunningMember) -> None:
    """Return when the state does not allow an empty start any more."""
    async with asyncio.timeout(10):
        while (await read_state(one)).new_cluster:
            await one.member.converge(deadline=timedelta(seconds=5))


async def read_state(one: RunningMember) -> m.EtcdState:
    stored = await one.member.stored()
    assert isinstance(stored, KeptState)
    assert stored.vouched
    return stored.state


def test_a_new_cluster_of_one_serves_and_is_described(world: World) -> None:
    async def scenario() -> None:
        async with running_member(world, "etcd-a", "127.0.0.1") as one, one.client() as client:
            assert (await one.handlers.info()).disk_empty
            await form(one)
            await wait_serving(client)
            await client.put(b"key", b"value")
            description = await one.handlers.describe()
            assert description.etcd is not None
            assert description.etcd.version == VERSION
            assert description.disk.data_tokens == ("T1",)
            assert description.process.running
            assert description.hold is None
            assert VERSION in {found.version for found in description.binaries}
            await until_started(one)

    asyncio.run(scenario())


def test_an_etcd_that_is_killed_is_back_within_a_second(world: World) -> None:
    async def scenario() -> float:
        async with running_member(world, "etcd-a", "127.0.0.1") as one, one.client() as client:
            await form(one)
            await wait_serving(client)
            await client.put(b"key", b"value")
            first = one.member.process.record
            assert first is not None
            began = asyncio.get_running_loop().time()
            os.kill(first.pid, signal.SIGKILL)
            await until(lambda: one.member.process.record is not None and one.member.process.record.pid != first.pid)
            took = asyncio.get_running_loop().time() - began
            await wait_serving(client)
            found = await client.get(b"key")
            assert found is not None
            assert found.value == b"value"
            assert one.member.process.last_exit is not None
            assert "SIGKILL" in one.member.process.last_exit.reason
            return took

    assert asyncio.run(scenario()) < 1.5


def test_etcd_survives_its_manager_and_is_adopted(world: World) -> None:
    async def first() -> int:
        async with running_member(world, "etcd-a", "127.0.0.1", keep_etcd=True) as one, one.client() as client:
            await form(one)
            await wait_serving(client)
            record = one.member.process.record
            assert record is not None
            return record.pid

    async def second(pid: int) -> None:
        async with running_member(world, "etcd-a", "127.0.0.1") as one, one.client() as client:
            record = one.member.process.record
            assert record is not None
            assert record.pid == pid
            assert one.member.process.adopted
            assert (await one.handlers.describe()).process.adopted
            await wait_serving(client, deadline=timedelta(seconds=2))
            os.kill(pid, signal.SIGKILL)
            await until(lambda: one.member.process.record is not None and one.member.process.record.pid != pid)
            await wait_serving(client)

    asyncio.run(second(asyncio.run(first())))


def test_an_etcd_without_a_run_file_is_found_and_restarted_with_known_settings(world: World) -> None:
    async def first() -> int:
        async with running_member(world, "etcd-a", "127.0.0.1", keep_etcd=True) as one, one.client() as client:
            await form(one)
            await wait_serving(client)
            assert one.member.process.record is not None
            return one.member.process.record.pid

    async def second(pid: int) -> None:
        async with running_member(world, "etcd-a", "127.0.0.1") as one, one.client() as client:
            assert one.member.process.record is not None
            assert one.member.process.record.pid != pid
            await wait_serving(client)

    pid = asyncio.run(first())
    (world.directory / "etcd-a/etcd.run.json").unlink()
    asyncio.run(second(pid))


def test_quarantine_moves_the_clients_port_and_a_repeated_request_restarts_nothing(world: World) -> None:
    async def scenario() -> None:
        async with (
            running_member(world, "etcd-a", "127.0.0.1") as one,
            one.client() as open_client,
            one.client(quarantined=True) as fenced,
        ):
            await form(one, start_open=False)
            await wait_serving(fenced)
            with pytest.raises(AgentError):
                await open_client.status(deadline=timedelta(seconds=1))
            lift = m.ReconfigureRequest(quarantined=False)
            await one.handlers.reconfigure(lift, HEADER, caller=None)
            await wait_serving(open_client)
            before = one.member.process.record
            await one.handlers.reconfigure(lift, HEADER, caller=None)
            assert one.member.process.record == before

    asyncio.run(scenario())


def test_stopping_archives_the_data_and_the_disk_is_not_empty(world: World) -> None:
    async def scenario() -> None:
        async with running_member(world, "etcd-a", "127.0.0.1") as one, one.client() as client:
            await form(one)
            await wait_serving(client)
            await one.handlers.stop_etcd(HEADER, caller=None)
            description = await one.handlers.describe()
            assert not description.process.running
            assert description.disk.trash == ("T1",)
            assert description.disk.data_tokens == ()
            assert not description.info.disk_empty
            assert await read_state(one) == m.EtcdState()
            await one.handlers.stop_etcd(HEADER, caller=None)

    asyncio.run(scenario())


def test_requests_of_others_than_the_leader_change_nothing(world: World) -> None:
    async def scenario() -> None:
        async with running_member(world, "etcd-a", "127.0.0.1") as one:
            for header in (
                m.Header(leadership_token="other", cluster_name="etcd", epoch=1),
                m.Header(leadership_token="token", cluster_name="etcd-events", epoch=1),
            ):
                with pytest.raises(AccessError):
                    await one.handlers.stop_etcd(header, caller=None)
            with pytest.raises(AccessError):
                await one.handlers.stop_etcd(HEADER, caller="someone-else")

    asyncio.run(scenario())


def test_joining_needs_a_promise(world: World) -> None:
    async def scenario() -> None:
        async with running_member(world, "etcd-a", "127.0.0.1") as one:
            request = m.JoinRequest(phase=m.JoinPhase.INITIAL_CLUSTER, cluster_token="T1", nodes=(one.node,), etcd_version=VERSION)
            with pytest.raises(RefusedError, match="not prepared"):
                await one.handlers.join(request, HEADER, caller=None)

    asyncio.run(scenario())


def test_a_truncated_state_with_data_is_refused_and_explained(world: World) -> None:
    async def first() -> None:
        async with running_member(world, "etcd-a", "127.0.0.1") as one, one.client() as client:
            await form(one)
            await wait_serving(client)

    async def second() -> None:
        async with running_member(world, "etcd-a", "127.0.0.1") as one:
            description = await one.handlers.describe()
            assert description.hold is not None
            assert description.hold.code == "EM-M0-state-damaged"
            assert not description.process.running
            with pytest.raises(RefusedError):
                await form(one, token="T2")
            assert description.disk.data_tokens == ("T1",)

    asyncio.run(first())
    (world.directory / "etcd-a/state").write_bytes(b"")
    asyncio.run(second())


def test_a_member_whose_data_vanished_is_not_started_empty(world: World) -> None:
    async def first() -> None:
        async with running_member(world, "etcd-a", "127.0.0.1") as one, one.client() as client:
            await form(one)
            await wait_serving(client)
            await until_started(one)

    async def second() -> None:
        async with running_member(world, "etcd-a", "127.0.0.1") as one:
            description = await one.handlers.describe()
            assert description.hold is not None
            assert description.hold.code == "EM-M3-data-missing"
            assert not description.process.running

    asyncio.run(first())
    (world.directory / "etcd-a/data/T1").rename(world.directory / "elsewhere")
    asyncio.run(second())


def test_three_members_form_a_cluster_over_tls(world: World) -> None:
    async def scenario() -> None:
        async with (
            running_member(world, "etcd-a", "127.0.0.1") as a,
            running_member(world, "etcd-b", "127.0.0.2") as b,
            running_member(world, "etcd-c", "127.0.0.3") as c,
            a.client() as client,
        ):
            await form(a, b, c)
            await wait_serving(client)
            members = await client.members()
            assert {member.name for member in members.members} == {"etcd-a", "etcd-b", "etcd-c"}
            await client.put(b"k", b"v")

    asyncio.run(scenario())


def test_a_member_backs_itself_up_into_a_spool_with_nobody_who_leads_but_not_while_it_is_fenced(world: World, tmp_path: Path) -> None:
    async def scenario() -> None:
        spool = BackupStore(LocalStore(tmp_path / "spool"))
        async with running_member(world, "etcd-a", "127.0.0.1") as one, one.client(quarantined=True) as fenced:
            with pytest.raises(RefusedError):
                await one.handlers.jobs.spool_backup(spool)
            await form(one, start_open=False)
            await wait_serving(fenced)
            with pytest.raises(RefusedError):
                await one.handlers.jobs.spool_backup(spool)
            await one.handlers.reconfigure(m.ReconfigureRequest(quarantined=False), HEADER, caller=None)
            async with one.client() as opened:
                await wait_serving(opened)
                await opened.put(b"key", b"value")
                await one.handlers.jobs.spool_backup(spool)
        (taken,) = spool.list()
        manifest = spool.manifest(taken.text)
        assert manifest is not None
        assert (manifest.reason, manifest.verified, manifest.keys) == ("spool", True, 1)
        meta = spool.meta(taken.text)
        assert meta.spec == ClusterSpec(member_count=1, etcd_version=VERSION)

    asyncio.run(scenario())
