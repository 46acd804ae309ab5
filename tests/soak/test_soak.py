"""Three managers under faults at random, one after the other, while a client writes: `make soak MINUTES=10`.

Nothing that etcd acknowledged may be missing at the end, the cluster heals after every fault, and the last moment can be restored.
The seed is printed; SOAK_SEED=… repeats the order of the faults.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from etcdmanager.deltas.point_in_time import PointInTime
from tests.support.managers import ManagerGroup, manager_group
from tests.support.write_load import load, missing

MINUTES = float(os.environ.get("SOAK_MINUTES", "2"))
pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(60 * MINUTES + 600)]
#: The longest that a cluster may take to be whole again: a dead leader's lock, a learner that catches up, a loaded machine.
HEALED_WITHIN = 120.0
#: Between two faults: a cluster that is never at rest shows nothing about rest.
CALM_SECONDS = 3.0


async def kill_manager(group: ManagerGroup, name: str) -> None:
    group.kill(name)
    await asyncio.sleep(2)
    group.start(name)


async def kill_etcd(group: ManagerGroup, name: str) -> None:
    pid = group.managers[name].etcd_pid()
    if pid is not None:
        os.kill(pid, signal.SIGKILL)


async def kill_both(group: ManagerGroup, name: str) -> None:
    group.kill(name, etcd=True)
    await asyncio.sleep(2)
    group.start(name)


async def pause_manager(group: ManagerGroup, name: str) -> None:
    process = group.managers[name].process
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(20)
    process.send_signal(signal.SIGCONT)


async def pause_etcd(group: ManagerGroup, name: str) -> None:
    pid = group.managers[name].etcd_pid()
    if pid is not None:
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(5)
        os.kill(pid, signal.SIGCONT)


FAULTS: tuple[Callable[[ManagerGroup, str], Awaitable[None]], ...] = (kill_manager, kill_etcd, kill_both, pause_manager, pause_etcd)


def test_nothing_acknowledged_is_lost_and_every_fault_is_healed(tmp_path: Path) -> None:
    seed = int(os.environ.get("SOAK_SEED", str(random.SystemRandom().randrange(1_000_000))))
    chance = random.Random(seed)

    async def scenario(group: ManagerGroup) -> None:
        group.start_all()
        await group.until_healthy(within=HEALED_WITHIN)
        ends, slowest, faults = time.monotonic() + 60 * MINUTES, 0.0, 0
        async with load(group) as writes:
            while time.monotonic() < ends:
                fault, victim = chance.choice(FAULTS), chance.choice(group.names)
                print(f"  {fault.__name__} {victim}", flush=True)
                await fault(group, victim)
                slowest = max(slowest, await group.until_healthy(within=HEALED_WITHIN))
                faults += 1
                await asyncio.sleep(CALM_SECONDS)
        print(
            f"seed {seed}: {faults} faults, {writes.written} writes, longest pause {writes.longest_pause:.1f} s, "
            f"slowest healing {slowest:.1f} s, {len(group.backups.list())} backups",
            flush=True,
        )
        revision = 0
        for name in group.names:
            async with group.client(name) as client:
                assert await missing(client, writes.written) == []
                revision = max(revision, (await client.status()).revision)
        await group.until(lambda: any(window.last_revision >= revision for window in PointInTime(group.backups).windows()), within=60)

    with manager_group(tmp_path, 3) as group:
        asyncio.run(scenario(group))
