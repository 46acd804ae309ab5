"""A client that writes to a group of managers' etcds without a break, and the proof that nothing which was acknowledged is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from agents.errors import AgentError
from etcdmanager.etcd.client import EtcdClient
from tests.support.managers import ManagerGroup


@dataclass(slots=True)
class Load:
    """A client that writes one key after another to whichever member takes it, as an API server would."""

    group: ManagerGroup
    written: int = 0
    #: The longest time between two acknowledged writes, in seconds.
    longest_pause: float = 0.0
    pauses: list[float] = field(default_factory=list)

    async def run(self) -> None:
        clients = [self.group.client(name) for name in self.group.names]
        try:
            last, number, at = time.monotonic(), 0, 0
            while True:
                try:
                    await clients[at].put(b"load/%06d" % number, b"%d" % number, deadline=timedelta(seconds=1))
                except AgentError:
                    at = (at + 1) % len(clients)
                    await asyncio.sleep(0.005)
                    continue
                now = time.monotonic()
                if now - last > 0.1:
                    self.pauses.append(round(now - last, 2))
                self.longest_pause = max(self.longest_pause, now - last)
                last, number = now, number + 1
                self.written = number
                await asyncio.sleep(0.005)
        finally:
            for client in clients:
                await client.close()


@asynccontextmanager
async def load(group: ManagerGroup) -> AsyncIterator[Load]:
    running = Load(group)
    task = asyncio.create_task(running.run())
    try:
        yield running
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until_written(running: Load, count: int, *, within: float = 30) -> None:
    began = time.monotonic()
    while running.written < count:
        assert time.monotonic() - began < within
        await asyncio.sleep(0.05)


async def missing(client: EtcdClient, written: int) -> list[int]:
    """Return the numbers whose keys are not there, of those that were acknowledged."""
    found = set()
    async for page in client.pages():
        found |= {int(kv.value) for kv in page.keys if kv.key.startswith(b"load/")}
    return [number for number in range(written) if number not in found]
