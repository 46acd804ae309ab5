"""Peers and stores that hang instead of failing: accepted, and never answered (B-19, B-20, B-26, B-31)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.etcdmanager.scenarios.asking import backed_up, value
from tests.etcdmanager.scenarios.behind_proxies import start_behind_proxies
from tests.support.managers import ManagerGroup, manager_group
from tests.support.proxy import Direction, tcp_proxy
from tests.support.s3 import s3_server
from tests.support.write_load import load, missing, until_written

pytestmark = pytest.mark.etcd


def stop(group: ManagerGroup, name: str, signum: signal.Signals, *, etcd: bool = True) -> None:
    """Have a machine's programs stand still, or go on: what they are sent is accepted by the kernel, and nobody answers."""
    os.kill(group.managers[name].process.pid, signum)
    pid = group.managers[name].etcd_pid()
    if etcd and pid is not None:
        os.kill(pid, signum)


async def held_up_by_nothing(group: ManagerGroup, name: str, begin: Callable[[], None], end: Callable[[], None]) -> None:
    """Let a follower's trouble begin and end, and show what goes on meanwhile, and afterwards."""
    await group.until_healthy()
    await backed_up(group, "r1")
    assert group.leader() != name
    async with load(group) as writing:
        await until_written(writing, 10)
        begin()
        try:
            await backed_up(group, "r2", within=40)
            await group.until(lambda: group.waits_for("peer-absent", group.leader()) != "", within=40)
            await until_written(writing, writing.written + 10)
            assert writing.longest_pause < 8, writing.pauses
        finally:
            end()
        await group.until(lambda: not group.waits_for("peer-absent", group.leader()), within=60)
    await group.until_healthy(within=60)
    async with group.client(name) as client:
        assert await missing(client, writing.written) == []
    print(f"longest pause of writes {writing.longest_pause:.2f} s")


def test_a_follower_that_stands_still_holds_up_neither_writes_nor_backups_and_is_told(tmp_path: Path) -> None:
    """A black hole: a Go leader may wait a quarter of an hour in a call without a deadline."""
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until(lambda: group.leader() != "")
            name = next(name for name in group.names if name != group.leader())
            await held_up_by_nothing(group, name, lambda: stop(group, name, signal.SIGSTOP), lambda: stop(group, name, signal.SIGCONT))

        asyncio.run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize("direction", list(Direction))
def test_a_follower_that_is_cut_off_in_one_direction_holds_up_nothing_either(tmp_path: Path, direction: Direction) -> None:
    with ExitStack() as stack, manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start("etcd-a")
            group.start("etcd-b")
            await group.until(lambda: group.leader() != "")
            proxies = start_behind_proxies(group, "etcd-c", stack)

            def begin() -> None:
                stop(group, "etcd-c", signal.SIGSTOP, etcd=False)
                for proxy in proxies:
                    proxy.stall(direction)

            def end() -> None:
                for proxy in proxies:
                    proxy.heal()
                stop(group, "etcd-c", signal.SIGCONT, etcd=False)

            await held_up_by_nothing(group, "etcd-c", begin, end)

        asyncio.run(scenario())


@pytest.mark.slow
def test_a_leader_whose_machine_stands_still_is_succeeded_and_backups_go_on(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await backed_up(group, "r1")
            first = group.leader()
            async with load(group) as writing:
                await until_written(writing, 10)
                stop(group, first, signal.SIGSTOP)
                took = await group.until(lambda: group.leader() not in {"", first}, within=40)
                await backed_up(group, "r2", within=40)
                stop(group, first, signal.SIGCONT)
                await group.until(lambda: group.managers[first].status().get("message") == f"follows {group.leader()}", within=60)
            await group.until_healthy(within=60)
            async with group.client(first) as client:
                assert await missing(client, writing.written) == []
            print(f"another led after {took:.1f} s; longest pause of writes {writing.longest_pause:.2f} s")

        asyncio.run(scenario())


@pytest.mark.slow
def test_a_network_that_is_slow_breaks_nothing(tmp_path: Path) -> None:
    """A fifth of a second for each piece between one etcd and everybody: elections may come, losses not."""
    with ExitStack() as stack, manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start("etcd-a")
            group.start("etcd-b")
            proxies = start_behind_proxies(group, "etcd-c", stack)
            await group.until_healthy()
            before = {m.id for m in await group.members("etcd-a")}
            for proxy in proxies:
                proxy.delay(0.2)
            async with load(group) as writing:
                await asyncio.sleep(20)
                await backed_up(group, "r1", within=60)
            for proxy in proxies:
                proxy.heal()
                proxy.cut()
            await group.until_healthy(within=60)
            assert {m.id for m in await group.members("etcd-a")} == before, "nobody was replaced"
            async with group.client("etcd-c") as client:
                assert await missing(client, writing.written) == []

        asyncio.run(scenario())


@pytest.mark.s3
def test_etcd_is_served_and_supervised_while_the_store_hangs_and_all_goes_on_when_it_answers(tmp_path: Path) -> None:
    with s3_server() as s3, tcp_proxy(("127.0.0.1", int(s3.endpoint.rpartition(":")[2]))) as proxy:
        environment = {**s3.environment, "S3_ENDPOINT": f"http://127.0.0.1:{proxy.port}"}
        with manager_group(tmp_path, 1, store_url=f"{s3.url}/backups/etcd/main", environment=environment) as group:

            async def scenario() -> None:
                group.start_all()
                await group.until_written("etcd-a", b"key", b"first")
                await backed_up(group, "r1")
                proxy.stall()
                pid = group.managers["etcd-a"].etcd_pid()
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                await group.until(lambda: group.managers["etcd-a"].etcd_pid() not in {None, pid}, within=10)
                await group.until_written("etcd-a", b"key", b"second", within=15)
                # Its manager is restarted in the middle of that: it adopts its etcd, and needs no store for it.
                pid = group.managers["etcd-a"].etcd_pid()
                group.kill("etcd-a")
                group.start("etcd-a")
                await group.until(lambda: "adopted" in group.managers["etcd-a"].log() or bool(group.managers["etcd-a"].status()), within=20)
                await group.until_written("etcd-a", b"key", b"third", within=10)
                assert group.managers["etcd-a"].etcd_pid() == pid
                proxy.heal()
                await backed_up(group, "r2", within=90)
                assert await value(group, "etcd-a") == b"third"

            asyncio.run(scenario())


@pytest.mark.s3
@pytest.mark.slow
def test_an_etcd_that_dies_during_its_own_backup_is_restarted_at_once(tmp_path: Path) -> None:
    """Go holds its node's lock for the whole upload, and starts nothing meanwhile (B-26)."""
    with s3_server() as s3, tcp_proxy(("127.0.0.1", int(s3.endpoint.rpartition(":")[2]))) as proxy:
        environment = {**s3.environment, "S3_ENDPOINT": f"http://127.0.0.1:{proxy.port}"}
        with manager_group(tmp_path, 1, store_url=f"{s3.url}/backups/etcd/main", environment=environment) as group:

            async def scenario() -> None:
                group.start_all()
                await group.until_written("etcd-a", b"key", b"first")
                await backed_up(group, "r1")
                async with group.client("etcd-a") as client:
                    for number in range(20):
                        await client.put(b"large/%d" % number, os.urandom(1 << 20))
                proxy.delay(0.2, Direction.THERE)
                taking = asyncio.create_task(backed_up(group, "r2", within=120))
                await group.until(lambda: group.managers["etcd-a"].log().count("by rule backup_on_request") == 2)
                await asyncio.sleep(2)
                assert group.control.backup_answer("r2") is None, "it is being uploaded"
                pid = group.managers["etcd-a"].etcd_pid()
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                took = await group.until(lambda: group.managers["etcd-a"].etcd_pid() not in {None, pid}, within=10)
                await group.until_written("etcd-a", b"key", b"second", within=15)
                proxy.heal()
                await asyncio.gather(taking, return_exceptions=True)
                await backed_up(group, "r3", within=60)
                print(f"etcd was started again after {took:.1f} s")

            asyncio.run(scenario())
