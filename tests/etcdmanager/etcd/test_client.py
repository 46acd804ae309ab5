from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agents.errors import ConflictError, DeadlineError, NotFoundError, RefusedError, SpecError, TransientError
from etcdmanager.etcd.answers import Alarm
from etcdmanager.etcd.client import EtcdClient, grpc_target
from etcdmanager.etcd.snapshot import SnapshotCheck
from tests.support.etcd_binaries import versions_present
from tests.support.etcd_server import RunningEtcd, free_port, running_etcd

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module", params=versions_present() or ("default",))
def etcd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEtcd]:
    with running_etcd(tmp_path_factory.mktemp("etcd"), version=request.param) as running:
        yield running


@pytest.mark.parametrize(
    ("endpoints", "target"),
    [
        (["https://127.0.0.1:4001"], "dns:127.0.0.1:4001"),
        (["127.0.0.1:4001"], "dns:127.0.0.1:4001"),
        (["http://[::1]:4001"], "dns:[::1]:4001"),
        (["http://10.0.0.1:1", "http://10.0.0.2:1"], "ipv4:10.0.0.1:1,10.0.0.2:1"),
        (["unix:///run/x/client:1"], "unix:/run/x/client:1"),
    ],
)
def test_endpoints_are_named_as_grpc_names_them(endpoints: list[str], target: str) -> None:
    assert grpc_target(endpoints) == target


@pytest.mark.parametrize("endpoints", [[], ["https://host"], ["nonsense"], [""]])
def test_an_endpoint_that_nobody_can_dial_is_refused_at_once(endpoints: list[str]) -> None:
    with pytest.raises(SpecError):
        grpc_target(endpoints)


@pytest.mark.etcd
def test_a_member_tells_about_itself_and_its_cluster(etcd: RunningEtcd) -> None:
    async def main() -> None:
        async with EtcdClient([etcd.url]) as client:
            status = await client.status()
            members = await client.members(linearizable=True)
            assert status.is_leader
            assert status.version == etcd.binaries.name
            assert status.cluster_id == members.cluster_id
            found = members.by_name("one")
            assert found is not None
            assert found.id == status.member_id == members.answered_by
            assert found.started
            assert not found.is_learner
            assert members.by_name("two") is None

    asyncio.run(main())


@pytest.mark.etcd
def test_keys_leases_and_conditions_work(etcd: RunningEtcd) -> None:
    async def main() -> None:
        async with EtcdClient([etcd.url]) as client:
            lease = await client.grant(600)
            revision = await client.put(b"k/a", b"1", lease_id=lease)
            found = await client.get(b"k/a")
            assert found is not None
            assert (found.value, found.lease_id, found.mod_revision) == (b"1", lease, revision)
            assert lease in await client.leases()
            assert (await client.lease(lease, keys=True)).keys == (b"k/a",)
            assert await client.put_if(b"k/a", b"2", mod_revision=0) is None
            assert await client.put_if(b"k/a", b"2", mod_revision=revision) == revision + 1
            await client.put_many([(b"k/%d" % number, b"x") for number in range(100)])
            assert await client.count(key=b"k/", range_end=b"k0") == 101
            assert [len(page.keys) async for page in client.pages(limit=40)] == [40, 40, 21]
            assert await client.delete(b"k/", range_end=b"k0") == 101
            assert await client.get(b"k/a") is None
            await client.revoke(lease)

    asyncio.run(main())


@pytest.mark.etcd
def test_a_learner_is_added_refused_promotion_and_removed(etcd: RunningEtcd) -> None:
    async def main() -> None:
        async with EtcdClient([etcd.url]) as client:
            url = f"http://127.0.0.1:{free_port()}"
            learner = await client.add_learner([url])
            assert learner.is_learner
            assert not learner.started
            with pytest.raises(ConflictError) as exists:
                await client.add_learner([url])
            with pytest.raises(TransientError) as unready:
                await client.promote(learner.id)
            gone = await _remove_until_gone(client, learner.id)
            codes = exists.value.code, unready.value.code, gone.code
            assert codes == ("etcd-member-exists", "etcd-learner-not-ready", "etcd-member-not-found")

    asyncio.run(main())


async def _remove_until_gone(client: EtcdClient, member_id: int) -> NotFoundError:
    """Remove a member as a caller must: etcd drops a change that comes before the last one is applied, and never answers it."""
    for _ in range(10):
        try:
            await client.remove(member_id, deadline=timedelta(seconds=2))
        except DeadlineError:
            continue
        except NotFoundError as gone:
            return gone
    pytest.fail("the member was not removed in ten attempts")


@pytest.mark.etcd
def test_hash_alarms_defragmentation_and_compaction_work(etcd: RunningEtcd) -> None:
    async def main() -> None:
        async with EtcdClient([etcd.url]) as client:
            first = await client.put(b"h", b"1")
            second = await client.put(b"h", b"2")
            assert await client.hash_kv(revision=first) != await client.hash_kv(revision=second)
            assert (await client.hash_kv(revision=second)).hash == (await client.hash_kv()).hash
            assert await client.alarms() == ()
            await client.compact(second, physical=True)
            with pytest.raises(NotFoundError) as compacted:
                await client.page(revision=first)
            assert compacted.value.code == "etcd-compacted"
            await client.defragment()
            with pytest.raises(ConflictError):
                await client.move_leader(12345)

    asyncio.run(main())


@pytest.mark.etcd
def test_a_snapshot_is_a_database_and_its_hash(etcd: RunningEtcd) -> None:
    async def main() -> None:
        check = SnapshotCheck()
        async with EtcdClient([etcd.url]) as client:
            async for piece in client.snapshot():
                check.feed(piece)
            assert check.finish().db_size_bytes == (await client.status()).db_size_bytes

    asyncio.run(main())


@pytest.mark.etcd
def test_a_refused_port_is_told_at_once() -> None:
    async def main() -> None:
        async with EtcdClient([f"http://127.0.0.1:{free_port()}"]) as client:
            with pytest.raises(TransientError) as refused:
                await client.status(deadline=10 * SECOND)
            assert refused.value.code == "etcd-unavailable"

    asyncio.run(main())


@pytest.mark.etcd
def test_a_member_that_hangs_costs_no_more_than_the_deadline(etcd: RunningEtcd) -> None:
    async def main() -> None:
        async with EtcdClient([etcd.url]) as client:
            await client.status()
            etcd.process.send_signal(signal.SIGSTOP)
            await asyncio.to_thread(os.waitid, os.P_PID, etcd.process.pid, os.WSTOPPED | os.WNOWAIT)
            try:
                with pytest.raises(DeadlineError):
                    await client.status(deadline=SECOND / 2)
                with pytest.raises(DeadlineError):
                    async for _ in client.snapshot(idle=SECOND / 2):
                        pass
            finally:
                etcd.process.send_signal(signal.SIGCONT)

    asyncio.run(main())


@pytest.mark.etcd
def test_a_full_cluster_says_so_and_its_alarm_can_be_disarmed(tmp_path: Path) -> None:
    async def main(url: str) -> None:
        async with EtcdClient([url]) as client:
            with pytest.raises(RefusedError) as full:
                await overflow(client)
            assert full.value.code == "etcd-nospace"
            (raised,) = await client.alarms()
            assert raised.alarm is Alarm.NOSPACE
            await client.disarm(raised)

    async def overflow(client: EtcdClient) -> None:
        for number in range(200):
            await client.put(b"%d" % number, b"x" * 1_000_000)

    with running_etcd(tmp_path, arguments=(f"--quota-backend-bytes={16 << 20}",)) as running:
        asyncio.run(main(running.url))
