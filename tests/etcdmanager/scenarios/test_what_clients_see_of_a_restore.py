"""What clients of etcd see of a restore: revisions, watches, leases, and members that come back one by one (B-05, B-08, B-25, B-28)."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from agents.errors import NotFoundError
from etcdmanager.etcd.watch import watch_all
from tests.etcdmanager.scenarios.asking import backed_up, queue_restore, restored, value
from tests.support.managers import ManagerGroup, manager_group
from tests.support.members import free_ports

pytestmark = pytest.mark.etcd


@pytest.mark.slow
def test_watchers_of_before_notice_and_leases_of_before_still_end(tmp_path: Path) -> None:
    """Go's copy rewinds revisions, so that watchers wait for ever, and drops leases, so that their keys never go."""
    with manager_group(tmp_path, 1) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_written("etcd-a", b"key", b"first")
            async with group.client("etcd-a") as client:
                lease = await client.grant(5)
                await client.put(b"leased", b"x", lease_id=lease)
            backup = await backed_up(group, "r1")
            await group.until_written("etcd-a", b"key", b"second")
            async with group.client("etcd-a") as client:
                seen = (await client.status()).revision
            receipt = await restored(group, queue_restore(group, backup))
            assert receipt.revision > seen + 1_000_000
            assert receipt.bumped
            async with group.client("etcd-a") as client:
                with pytest.raises(NotFoundError) as raised:
                    async for _ in watch_all(client, start=seen + 1):
                        pass
                assert raised.value.code == "etcd-compacted", "a watcher lists again instead of waiting for ever"
                async with asyncio.timeout(30):
                    while await client.get(b"leased") is not None:  # noqa: ASYNC110  etcd's own clock
                        await asyncio.sleep(0.2)

        asyncio.run(scenario())


def test_the_operators_newer_spec_outlives_a_restore_whose_command_carries_an_older_one(tmp_path: Path) -> None:
    with manager_group(tmp_path, 1) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_written("etcd-a", b"key", b"first")
            backup = await backed_up(group, "r1")
            path = Path(group.store_url.removeprefix("file://")) / "control/etcd-cluster-spec"
            newer = json.dumps({**json.loads(path.read_bytes()), "fromTheFuture": 1})
            path.write_text(newer)
            await restored(group, queue_restore(group, backup))
            assert path.read_text() == newer

        asyncio.run(scenario())


def listens(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


async def watch_listeners(group: ManagerGroup, seen: set[tuple[bool, ...]], ports: tuple[int, ...]) -> None:
    """Note which of the members' ports are open together, as often as possible."""
    while True:
        seen.add(tuple(listens(group.address(name), port) for name in group.names for port in ports))
        await asyncio.sleep(0.01)


def test_after_a_restore_members_are_shown_to_clients_one_by_one(tmp_path: Path) -> None:
    """Go restarts all of them in the same second: once more without quorum, after the restore was over."""
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            backup = await backed_up(group, "r1")
            command = queue_restore(group, backup)

            def verified() -> bool:
                claim = group.control.claim(command)
                return claim is not None and claim.document.verified_at is not None

            while not verified():  # noqa: ASYNC110  another process decides
                await asyncio.sleep(0.01)
            seen: set[tuple[bool, ...]] = set()
            watching = asyncio.create_task(watch_listeners(group, seen, (group.peer_port,)))
            await restored(group, command)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            assert len(seen) > 1, "they were restarted"
            assert min(sum(members) for members in seen) >= 2, seen
            await group.until_healthy()

        asyncio.run(scenario())


def test_no_listener_of_the_operator_lets_clients_in_while_they_are_kept_out(tmp_path: Path) -> None:
    """kops' listenClientHTTPURLs opens a second door, which Go leaves open in quarantine."""
    http, metrics = free_ports(2)
    environment = {
        "ETCD_LISTEN_CLIENT_HTTP_URLS": f"https://127.0.0.1:{http}",
        "ETCD_LISTEN_METRICS_URLS": f"http://127.0.0.1:{metrics}",
    }
    with manager_group(tmp_path, 1, environment=environment) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_written("etcd-a", b"key", b"first")
            assert listens("127.0.0.1", http)
            backup = await backed_up(group, "r1")
            seen: set[tuple[bool, ...]] = set()
            ports = (group.quarantine_port, http, metrics, group.client_port)
            watching = asyncio.create_task(watch_listeners(group, seen, ports))
            await restored(group, queue_restore(group, backup))
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            assert {doors[1:] for doors in seen if doors[0]} == {(False, False, False)}, seen
            await group.until_written("etcd-a", b"key", b"second")
            await group.until(lambda: listens("127.0.0.1", http) and listens("127.0.0.1", metrics))
            assert await value(group, "etcd-a") == b"second"

        asyncio.run(scenario())
