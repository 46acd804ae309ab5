"""One manager that speaks as Go's does among two of ours, with real etcd: either leads, and they hand over to each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.errors import AgentError, RefusedError
from etcdmanager.spec import ClusterSpec
from tests.fakes.go_peer import GoPeer
from tests.support.etcd_binaries import etcd_binaries
from tests.support.managers import ManagerGroup, manager_group

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

VERSION = "3.5.16"
SPEC = ClusterSpec(member_count=3, etcd_version=VERSION)


@asynccontextmanager
async def mixed(group: ManagerGroup, go: str) -> AsyncIterator[GoPeer]:
    """Run a Go-like peer under that name, and ours under the others, until all three know each other."""
    peer = GoPeer(group=group, name=go, etcd_dir=Path(etcd_binaries(VERSION)))
    async with peer.running():
        for name in group.names:
            if name != go:
                group.start(name)
        async with asyncio.timeout(60):
            while len(peer.healthy()) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        yield peer


async def until_voters(group: ManagerGroup, asked: str, count: int, *, within: float = 60) -> None:
    try:
        async with asyncio.timeout(within):
            while True:
                found = await group.members(asked)
                if len(found) == count and not any(m.is_learner for m in found):
                    return
                await asyncio.sleep(0.3)
    except TimeoutError:
        raise AssertionError(f"{await group.members(asked)}\n{group.logs()}") from None


def test_go_leads_creates_is_refused_what_would_lose_data_restores_through_ours_and_hands_over(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            async with mixed(group, "etcd-a") as go:
                await group.until(lambda: group.leader() == "", within=30)
                assert await go.elect() == {}
                await go.create_cluster(SPEC)
                await go.quarantine(group.names, on=False)
                await group.until_healthy()
                async with group.client("etcd-b") as client:
                    lease = await client.grant(3600)
                    await client.put(b"leased", b"x", lease_id=lease)
                    for number in range(300):
                        await client.put(b"key/%03d" % number, b"first")
                backup = await go.backup("etcd-b", SPEC)
                await group.until_written("etcd-b", b"key/000", b"second")
                assert group.leader() == "", "ours do not lead beside a Go manager with a lower id"

                with pytest.raises(RefusedError) as refused:
                    await go.stop_etcd_of("etcd-b")
                assert refused.value.code == "veto-stop"
                assert await value(group, "etcd-b", b"key/000") == b"second"

                command = group.control.queue_restore(backup=backup, spec=SPEC, queued_at=datetime.now(UTC))
                await go.create_cluster(SPEC)
                async with asyncio.timeout(60):
                    await restored(go, "etcd-b", backup)
                group.control.delete_command(command.name)
                await go.quarantine(group.names, on=False)
                await group.until_healthy()
                async with group.client("etcd-c") as client:
                    found = await client.get(b"leased")
                    assert found is not None
                    assert found.lease_id == lease
                    assert (await client.lease(lease)).ttl_seconds > 3000
                    assert await client.count() == 301
                assert await value(group, "etcd-a", b"key/000") == b"first"
            # Go is gone: after its minute ours lead, and keep the cluster.
            await group.until(lambda: group.leader() in {"etcd-b", "etcd-c"}, within=120)
            await group.until(group.control.is_created, within=30)

        asyncio.run(scenario())


def test_ours_lead_create_back_up_and_restore_with_a_go_member_that_joins_again(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            async with mixed(group, "etcd-c") as go:
                await group.until_healthy(within=60)
                assert "JoinCluster INITIAL_CLUSTER" in go.calls
                assert "Reconfigure quarantined=False" in go.calls
                await group.until_written("etcd-c", b"key", b"first")
                assert set(await go.elect()) & {"etcd-a", "etcd-b"}, "its id is not the lowest"
                await group.until(lambda: len(group.backups.list()) > 0)
                backup = group.backups.list()[-1].text
                await group.until_written("etcd-a", b"other", b"second")
                command = group.control.queue_restore(backup=backup, spec=SPEC, queued_at=datetime.now(UTC)).name
                await group.until(lambda: group.control.receipt(command) is not None, within=120)
                assert "StopEtcd" in go.calls
                await until_voters(group, "etcd-a", 3, within=120)
                assert "JoinCluster JOIN_EXISTING" in go.calls
                assert await value(group, "etcd-c", b"other") is None

        asyncio.run(scenario())


async def restored(go: GoPeer, name: str, backup: str) -> None:
    """DoRestore until the newly formed etcd answers, as the Go leader repeats its loop."""
    while True:
        try:
            await go.restore(name, backup)
        except RefusedError:
            raise
        except AgentError:
            await asyncio.sleep(0.5)
        else:
            return


async def value(group: ManagerGroup, name: str, key: bytes) -> bytes | None:
    async with group.client(name) as client:
        found = await client.get(key, deadline=timedelta(seconds=5))
        return None if found is None else found.value
