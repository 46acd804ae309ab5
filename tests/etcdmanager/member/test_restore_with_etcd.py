"""A restore at real members: prepared beside the serving data, committed by a swap, aborted without a trace."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from agents.errors import AgentError, BusyError, NotFoundError, RefusedError
from etcdmanager.etcd.client import EtcdClient
from etcdmanager.leader.observe import peer_from_description
from etcdmanager.member.intent import IntentFile
from etcdmanager.peering import messages as m
from etcdmanager.spec import ClusterSpec
from tests.support.members import HEADER, VERSION, RunningMember, World, form, make_world, running_member, wait_serving

pytestmark = pytest.mark.etcd


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


def silent(progress: m.Progress) -> None:
    pass


async def back_up(one: RunningMember) -> str:
    request = m.TakeBackupRequest(
        storage=one.member.setup.config.backup_store,
        info=m.BackupInfo(etcd_version=VERSION, cluster_spec=ClusterSpec(member_count=1, etcd_version=VERSION)),
        reason="request",
    )
    taken = await one.handlers.take_backup(request, HEADER, caller=None, report=silent)
    assert taken.verified
    return taken.name


def prepare_request(backup: str, *members: RunningMember, token: str = "T2") -> m.PrepareRestoreRequest:  # noqa: S107  a cluster token
    return m.PrepareRestoreRequest(
        storage=members[0].member.setup.config.backup_store,
        backup_name=backup,
        cluster_token=token,
        nodes=tuple(member.node for member in members),
        etcd_version=VERSION,
        bump_revision=1_000_000,
    )


async def value(client: EtcdClient, key: bytes) -> bytes | None:
    found = await client.get(key)
    return found.value if found is not None else None


def test_a_restore_swaps_the_data_and_keeps_the_old(world: World) -> None:
    async def scenario() -> None:
        async with (
            running_member(world, "etcd-a", "127.0.0.1") as one,
            one.client() as client,
            one.client(quarantined=True) as fenced,
        ):
            await form(one)
            await wait_serving(client)
            await client.put(b"key", b"before")
            lease = await client.grant(3600)
            await client.put(b"leased", b"x", lease_id=lease)
            backup = await back_up(one)
            await client.put(b"key", b"after")

            news: list[m.Progress] = []
            prepared = await one.handlers.prepare_restore(prepare_request(backup, one), HEADER, caller=None, report=news.append)
            assert prepared.revision > 1_000_000
            assert prepared.keys == 2
            assert news
            assert await value(client, b"key") == b"after"
            restore = (await one.handlers.describe()).restore
            assert restore is not None
            assert restore.phase is m.RestorePhase.PREPARED
            again = await one.handlers.prepare_restore(prepare_request(backup, one), HEADER, caller=None, report=silent)
            assert again == prepared
            with pytest.raises(BusyError):
                await one.handlers.prepare_restore(prepare_request(backup, one, token="T3"), HEADER, caller=None, report=silent)

            assert await one.handlers.commit_restore("T2", HEADER, caller=None) == "T1"
            assert await one.handlers.commit_restore("T2", HEADER, caller=None) == ""
            await wait_serving(fenced)
            assert await value(fenced, b"key") == b"before"
            assert await fenced.leases() == (lease,)
            description = await one.handlers.describe()
            assert description.restore is None
            assert description.disk.trash == ("T1",)
            assert description.disk.data_tokens == ("T2",)
            assert description.process.quarantined
            await one.handlers.reconfigure(m.ReconfigureRequest(quarantined=False), HEADER, caller=None)
            await wait_serving(client)

    asyncio.run(scenario())


def test_an_aborted_restore_leaves_nothing(world: World) -> None:
    async def scenario() -> None:
        async with running_member(world, "etcd-a", "127.0.0.1") as one, one.client() as client:
            await form(one)
            await wait_serving(client)
            backup = await back_up(one)
            await one.handlers.prepare_restore(prepare_request(backup, one), HEADER, caller=None, report=silent)
            await one.handlers.abort_restore("T2", HEADER, caller=None)
            await one.handlers.abort_restore("T2", HEADER, caller=None)
            description = await one.handlers.describe()
            assert (description.restore, description.disk.incoming) == (None, ())
            with pytest.raises(NotFoundError):
                await one.handlers.commit_restore("T2", HEADER, caller=None)
            await wait_serving(client, deadline=timedelta(seconds=1))

    asyncio.run(scenario())


def test_a_fenced_member_stays_down_for_the_swap_and_serves_again_when_it_is_let_out(world: World) -> None:
    async def scenario() -> None:
        async with running_member(world, "etcd-a", "127.0.0.1") as one, one.client() as client:
            await form(one)
            await wait_serving(client)
            await client.put(b"key", b"value")
            backup = await back_up(one)
            await one.handlers.prepare_restore(prepare_request(backup, one), HEADER, caller=None, report=silent)

            await one.handlers.reconfigure(m.ReconfigureRequest(quarantined=True), HEADER, caller=None)
            description = await one.handlers.describe()
            assert (description.process.running, description.disk.data_tokens) == (False, ("T1",))
            assert peer_from_description(description).quarantined
            assert not peer_from_description(description).exposed

            await one.handlers.reconfigure(m.ReconfigureRequest(quarantined=False), HEADER, caller=None)
            await wait_serving(client)
            await one.handlers.abort_restore("T2", HEADER, caller=None)
            assert await value(client, b"key") == b"value"

    asyncio.run(scenario())


def test_a_backup_that_does_not_exist_changes_nothing(world: World) -> None:
    async def scenario() -> None:
        async with running_member(world, "etcd-a", "127.0.0.1") as one, one.client() as client:
            await form(one)
            await wait_serving(client)
            with pytest.raises(AgentError):
                await one.handlers.prepare_restore(prepare_request("2026-01-01T00:00:00Z-000001", one), HEADER, caller=None, report=silent)
            await one.member.converge(deadline=timedelta(seconds=5))
            description = await one.handlers.describe()
            assert (description.restore, description.disk.incoming, description.hold) == (None, (), None)
            await wait_serving(client, deadline=timedelta(seconds=1))

    asyncio.run(scenario())


def test_a_commit_interrupted_by_a_crash_is_finished_by_the_next_manager(world: World) -> None:
    """The journal says committing, nothing else has happened, and etcd still runs: the worst moment to be killed."""

    async def first() -> None:
        async with running_member(world, "etcd-a", "127.0.0.1", keep_etcd=True) as one, one.client() as client:
            await form(one)
            await wait_serving(client)
            await client.put(b"key", b"before")
            backup = await back_up(one)
            await client.put(b"key", b"after")
            await one.handlers.prepare_restore(prepare_request(backup, one), HEADER, caller=None, report=silent)

    async def second() -> None:
        setup = world.setup("etcd-a", "127.0.0.1")
        journal = IntentFile(setup.host, setup.layout)
        intent = journal.read()
        assert intent is not None
        journal.write(intent.at(m.RestorePhase.COMMITTING))
        async with running_member(world, "etcd-a", "127.0.0.1") as one, one.client(quarantined=True) as fenced:
            await wait_serving(fenced)
            assert await value(fenced, b"key") == b"before"
            with pytest.raises(RefusedError):
                await one.handlers.join(
                    m.JoinRequest(phase=m.JoinPhase.PREPARE, cluster_token="T9", nodes=(one.node,), etcd_version=VERSION),
                    HEADER,
                    caller=None,
                )

    asyncio.run(first())
    asyncio.run(second())


def test_three_members_restore_the_same_backup_into_one_cluster(world: World) -> None:
    async def scenario() -> None:
        async with (
            running_member(world, "etcd-a", "127.0.0.1") as a,
            running_member(world, "etcd-b", "127.0.0.2") as b,
            running_member(world, "etcd-c", "127.0.0.3") as c,
            a.client() as client,
            a.client(quarantined=True) as fenced,
        ):
            members = (a, b, c)
            await form(*members)
            await wait_serving(client)
            await client.put(b"key", b"before")
            backup = await back_up(a)
            await client.put(b"key", b"after")
            request = prepare_request(backup, *members)
            await asyncio.gather(*(one.handlers.prepare_restore(request, HEADER, caller=None, report=silent) for one in members))
            await asyncio.gather(*(one.handlers.commit_restore("T2", HEADER, caller=None) for one in members))
            await wait_serving(fenced)
            assert await value(fenced, b"key") == b"before"
            assert len((await fenced.members(linearizable=True)).members) == 3

    asyncio.run(scenario())
