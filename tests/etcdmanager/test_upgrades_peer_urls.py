"""Members that move to other peer URLs with real managers and etcds: another port, and http to https, under write load."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agents.errors import AgentError
from tests.support.managers import ManagerGroup, manager_group
from tests.support.members import free_ports
from tests.support.write_load import Load, load, missing, until_written

pytestmark = [pytest.mark.etcd, pytest.mark.slow]


async def peer_urls(group: ManagerGroup) -> dict[str, tuple[str, ...]]:
    """Return what etcd lists; nothing while the first member is restarted."""
    try:
        async with group.client(group.names[0]) as client:
            return {m.name: m.peer_urls for m in (await client.members(linearizable=True)).members}
    except AgentError:
        return {}


async def until_listed(group: ManagerGroup, scheme: str, *, within: float = 60) -> None:
    """Wait until every member is listed, and listens, at its configured peer URL."""
    wanted = {name: (f"{scheme}://{group.address(name)}:{group.peer_port}",) for name in group.names}
    began = asyncio.get_running_loop().time()
    while await peer_urls(group) != wanted:
        assert asyncio.get_running_loop().time() - began < within, f"{await peer_urls(group)}\n{group.logs()}"
        await asyncio.sleep(0.2)
    await group.until_healthy()
    for name in group.names:
        _, writer = await asyncio.open_connection(group.address(name), group.peer_port)
        writer.close()


async def moved(group: ManagerGroup, *, scheme: str, before: str = "") -> Load:
    """Start the group, restart its managers with what is configured now, and follow its members there."""
    group.extra = (f"--peer-urls={before}",) if before else ()
    group.start_all()
    await group.until_healthy()
    async with load(group) as running:
        await until_written(running, 50)
        running.longest_pause, running.pauses = 0.0, []
        if not before:
            (group.peer_port,) = free_ports(1)
        group.extra = ()
        for name in group.names:
            group.kill(name)
            group.start(name)
        await until_listed(group, scheme)
        await until_written(running, running.written + 50)
    print(f"{running.written} writes, longest pause {running.longest_pause:.2f} s, {running.pauses}")
    for name in group.names:
        async with group.client(name) as client:
            assert await missing(client, running.written) == []
    return running


def test_members_move_to_another_peer_port_one_by_one(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:
        running = asyncio.run(moved(group, scheme="https"))
        assert running.longest_pause < 5


def test_members_move_from_http_to_https_one_by_one(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:
        running = asyncio.run(moved(group, scheme="https", before=f"http://__address__:{group.peer_port}"))
        assert running.longest_pause < 5
