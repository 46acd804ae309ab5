"""What goes wrong between managers, for real: twins, links that are cut, leaders that are paused."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from etcdmanager.spec import ClusterSpec
from tests.support.managers import ManagerGroup, manager_group
from tests.support.members import free_ports, make_authorities
from tests.support.s3 import s3_server

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

VERSION = "3.5.16"


def rows(members: object) -> str:
    return repr(members)


def foreign_ca(group: ManagerGroup, name: str) -> None:
    """Put another CA of the managers into one manager's directory: it reaches nobody, and nobody reaches it."""
    make_authorities(group.directory / "other-pki")
    for suffix in ("crt", "key"):
        content = (group.directory / f"other-pki/etcd-manager-ca.{suffix}").read_bytes()
        (group.directory / f"pki-{name}/etcd-manager-ca.{suffix}").write_bytes(content)


def test_a_blank_twin_never_costs_the_living_member_its_place_and_both_are_named(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            leader = group.leader()
            twin_of = next(name for name in group.names if name != leader)
            before = await group.members(leader)
            group.start("etcd-e", identity=twin_of)
            await group.until(lambda: group.waits_for("twins", leader) != "", within=60)
            reason = group.waits_for("twins", leader)
            assert group.address(twin_of) in reason
            assert group.address("etcd-e") in reason
            # Its manager goes: only the twin is left to speak for it.
            group.kill(twin_of)
            await group.until(lambda: "does not run etcd member" in group.waits_for("twins", leader), within=120)
            await asyncio.sleep(timedelta(seconds=75).total_seconds())
            assert rows(await group.members(leader)) == rows(before)
            assert f"{group.address(twin_of)}:{group.client_port}" in group.waits_for("twins", leader)
            group.kill("etcd-e")
            group.start(twin_of)
            await group.until(lambda: not group.waits_for("twins", leader), within=90)
            assert rows(await group.members(twin_of)) == rows(before)

        asyncio.run(scenario())


def test_a_leader_that_reaches_no_other_manager_makes_room_for_one_that_does_and_says_why(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            cut = group.leader()
            group.kill(cut)
            foreign_ca(group, cut)
            group.start(cut)
            await group.until(lambda: group.waits_for("managers-cut-off", cut) != "", within=30)
            took = await group.until(lambda: group.leader() not in {"", cut}, within=40)
            other = group.leader()
            await group.until(lambda: group.waits_for("few-managers-reached", cut) != "", within=20)
            await asyncio.sleep(40)
            assert group.leader() == other, "no flapping"
            assert len(await group.members(other)) == 3
            print(f"another leads {took:.1f} s after the cut-off leader said that it is")

        asyncio.run(scenario())


def test_a_leader_that_was_paused_for_a_minute_does_nothing_of_what_it_was_about_to_do(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until(lambda: len(group.backups.list()) > 0)
            first = group.leader()
            process = group.managers[first].process
            group.control.write_spec(ClusterSpec(member_count=1, etcd_version=VERSION))
            os.kill(process.pid, signal.SIGSTOP)
            group.control.write_spec(ClusterSpec(member_count=3, etcd_version=VERSION))
            await asyncio.sleep(60)
            second = group.leader()
            assert second not in {"", first}
            states = {name: (group.managers[name].data_dir / "state").read_bytes() for name in group.names}
            before = rows(await group.members(second))
            os.kill(process.pid, signal.SIGCONT)
            await group.until(lambda: group.managers[first].status().get("message") == f"follows {second}")
            await asyncio.sleep(10)
            assert group.leader() == second
            assert rows(await group.members(second)) == before
            assert {name: (group.managers[name].data_dir / "state").read_bytes() for name in group.names} == states

        asyncio.run(scenario())


@pytest.mark.s3
def test_a_lost_member_is_replaced_while_the_store_is_away(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    with s3_server(port=port) as s3:
        url, environment = f"{s3.url}/backups/etcd/main", dict(s3.environment)
        with manager_group(tmp_path, 3, store_url=url, environment=environment) as group:
            asyncio.run(a_member_replaced_without_store(group, port, s3.stop))


async def a_member_replaced_without_store(group: ManagerGroup, port: int, stop_store: Callable[[], None]) -> None:
    group.start_all()
    await group.until_healthy()
    await group.until_written("etcd-a", b"key", b"value")
    await group.until(lambda: len(group.backups.list()) > 0)
    leader = group.leader()
    lost = next(name for name in group.names if name != leader)
    before = {m.name: m.id for m in await group.members(leader)}
    await asyncio.to_thread(stop_store)
    group.kill(lost, etcd=True)
    shutil.rmtree(group.managers[lost].data_dir)
    group.start(lost)
    await group.until(lambda: group.waits_for("store-away", leader) != "", within=60)
    async with asyncio.timeout(150):
        while not await replaced(group, lost, before[lost]):  # noqa: ASYNC110  other processes change it  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    with s3_server(port=port):
        await group.until(lambda: not group.waits_for("store-away", leader), within=90)
        await group.until_written(lost, b"key", b"later")
        assert {m.name for m in await group.members(lost)} == set(group.names)


async def replaced(group: ManagerGroup, name: str, former: int) -> bool:
    """Return whether the member of that name is another one, and all three vote."""
    found = await group.members(name)
    return len(found) == 3 and not any(m.is_learner or m.id == former for m in found)
