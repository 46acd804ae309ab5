"""Growing and shrinking when something dies or hangs in the middle: never a vote for a member that does not answer (B-09 to B-12)."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from agents.errors import AgentError
from etcdmanager.etcd.answers import Member
from tests.etcdmanager.scenarios.asking import value, want
from tests.etcdmanager.scenarios.behind_proxies import start_behind_proxies
from tests.support.managers import ManagerGroup, manager_group
from tests.support.write_load import load, missing, until_written

pytestmark = pytest.mark.etcd


async def until_voters(group: ManagerGroup, asked: str, *names: str, within: float = 90) -> None:
    """Wait until exactly these are listed, and all vote."""
    try:
        async with asyncio.timeout(within):
            while not are_voters(await group.members(asked), *names):  # noqa: ASYNC110  other processes change it
                await asyncio.sleep(0.3)
    except TimeoutError:
        raise AssertionError(f"{await group.members(asked)}\n{group.logs()}") from None


def are_voters(found: tuple[Member, ...], *names: str) -> bool:
    return sorted(m.name for m in found) == sorted(names) and not any(m.is_learner for m in found)


def test_a_new_member_that_nobody_reaches_costs_no_quorum_and_votes_once_its_network_heals(tmp_path: Path) -> None:
    """Go adds it as a voter: of two, both are needed from then on, and one does not answer."""
    with ExitStack() as stack, manager_group(tmp_path, 2) as group:

        async def scenario() -> None:
            want(group, 1)
            _, peers, _ = start_behind_proxies(group, "etcd-a", stack)
            # Of two etcds, each dials the other to be sent something, so that both ways have to be cut.
            proxies = (peers, *start_behind_proxies(group, "etcd-b", stack))
            await group.until_written("etcd-a", b"key", b"value")
            for proxy in proxies:
                proxy.stall()
            async with load(group) as writing:
                await until_written(writing, 10)
                want(group, 2)
                async with asyncio.timeout(60):
                    while not any(m.is_learner for m in await group.members("etcd-a")):  # noqa: ASYNC110
                        await asyncio.sleep(0.2)
                before = writing.written
                await asyncio.sleep(8)
                assert sum(not m.is_learner for m in await group.members("etcd-a")) == 1
                assert writing.written > before + 10
                for proxy in proxies:
                    proxy.heal()
                await until_voters(group, "etcd-a", "etcd-a", "etcd-b")
                async with group.client("etcd-a") as client:
                    assert await missing(client, writing.written) == []
            assert await value(group, "etcd-b") == b"value"

        asyncio.run(scenario())


async def learner_is(group: ManagerGroup, moment: str) -> bool:
    """Return whether the third member is this far on its way."""
    found = [m for m in await group.members("etcd-a") if m.is_learner]
    match moment:
        case "listed":
            return bool(found)
        case "joined":
            return any(m.name for m in found)
        case _:
            return (group.managers["etcd-c"].data_dir / "state").exists()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["listed", "told", "joined"])
def test_growing_is_finished_by_the_next_leader_wherever_the_last_one_died(tmp_path: Path, moment: str) -> None:
    """Go leaves an unnamed member behind, counts it as wanted, and is stuck."""
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            want(group, 2)
            group.start("etcd-a")
            await group.until(lambda: group.leader() == "etcd-a")
            group.start("etcd-b")
            group.start("etcd-c")
            await until_voters(group, "etcd-a", "etcd-a", "etcd-b")
            await group.until_written("etcd-a", b"key", b"value")
            want(group, 3)
            async with asyncio.timeout(60):
                while not await learner_is(group, moment):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert group.leader() == "etcd-a"
            group.kill("etcd-a")
            if moment == "told":
                group.kill("etcd-c", etcd=True)
                group.start("etcd-c")
            # Of two voters' managers one is not enough to change anything; so the dead one comes back, once another leads.
            await group.until(lambda: group.leader() not in {"", "etcd-a"})
            group.start("etcd-a")
            await until_voters(group, "etcd-a", *group.names)
            for name in group.names:
                assert await value(group, name) == b"value"

        asyncio.run(scenario())


@pytest.mark.slow
def test_three_shrink_to_one_though_a_machine_is_gone_and_then_rest(tmp_path: Path) -> None:
    """Go goes on trying to remove the last one, with a backup for each attempt."""
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"value")
            leader = group.leader()
            gone = next(name for name in group.names if name != leader)
            group.kill(gone, etcd=True)
            want(group, 1)
            try:
                async with asyncio.timeout(60):
                    while await last_of(group) is None:  # noqa: ASYNC110
                        await asyncio.sleep(0.3)
            except TimeoutError:
                raise AssertionError(group.logs()) from None
            last = await last_of(group)
            assert last is not None
            taken = len(group.backups.list())
            await group.until_written(last, b"key", b"later")
            await asyncio.sleep(5)
            assert await last_of(group) == last
            assert len(group.backups.list()) <= taken + 1, "it is at rest"
            assert await value(group, last) == b"later"

        asyncio.run(scenario())


async def last_of(group: ManagerGroup) -> str | None:
    """Return the only member there is; None while there are others."""
    for name in group.names:
        try:
            found = await group.members(name)
        except AgentError:
            continue
        if len(found) == 1:
            return found[0].name
    return None
