"""Replaying deltas into a scratch etcd: each revision is one transaction, so that keys, revisions and leases come out as they were."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from agents.errors import ConflictError, VerificationError
from etcdmanager.backups.pace import Report
from etcdmanager.deltas.chain import Path
from etcdmanager.deltas.segment import Change, Segment, transactions
from etcdmanager.etcd.answers import KeyValue
from etcdmanager.peering.messages import Progress

if TYPE_CHECKING:
    from etcdmanager.etcd.client import EtcdClient

#: A lease that was gone before anybody could ask for its time; its keys are about to go, too.
_UNKNOWN_TTL_SECONDS = 60
#: Leases that would end while we replay are kept alive this often; the shortest that Kubernetes has lasts 15 s.
_KEEP_ALIVE_EVERY = timedelta(seconds=3)
#: Only those that could end between two rounds need every one.
_SHORT_TTL_SECONDS = 60
_LONG_EVERY = 10
#: What the scratch etcd must be started with: a transaction may be larger than clients may send, and nothing of it need survive.
SCRATCH_ARGUMENTS = ("--max-txn-ops=1000000", f"--max-request-bytes={256 << 20}", "--unsafe-no-fsync")


async def replay(client: EtcdClient, path: Path, segments: Iterable[Segment], *, report: Report) -> None:
    """Bring a scratch etcd from `path.full`'s revision to `path.revision`; VerificationError where it comes out at another one.

    `segments` are those of `path.spans`, in order.
    """
    found = (await client.status()).revision
    if found != path.full.revision:
        raise VerificationError(
            f"{path.full.name} came up at revision {found}, its manifest says {path.full.revision}", code="backup-differs"
        )
    leases = _Leases(client)
    await leases.learn()
    keeping = asyncio.create_task(leases.keep())
    try:
        at = path.full.revision
        for segment in segments:
            await leases.grant(segment)
            for revision, changes in transactions(segment.changes, after=at, until=path.revision):
                await _apply(client, revision, changes, leases)
            at = min(segment.last, path.revision)
            report(Progress(stage="replay", done_bytes=at - path.full.revision, total_bytes=path.revision - path.full.revision))
            if keeping.done():
                keeping.result()
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})
    reached = (await client.status()).revision
    if reached != path.revision:
        raise VerificationError(f"the deltas lead to revision {reached}, wanted {path.revision}", code="delta-differs")


async def _apply(client: EtcdClient, revision: int, changes: Sequence[Change], leases: _Leases) -> None:
    puts = [
        KeyValue(key=c.key, value=c.value, lease_id=await leases.known(c.lease), create_revision=0, mod_revision=0, version=0)
        for c in changes
        if c.value is not None
    ]
    reached = await client.write_together(puts, [c.key for c in changes if c.value is None], deadline=timedelta(seconds=30))
    if reached != revision:
        keys = ", ".join(repr(c.key) for c in changes[:3])
        raise VerificationError(f"the changes of revision {revision} ({keys}) made revision {reached}", code="delta-differs")


class _Leases:
    """The leases of the scratch etcd: those of the backup, and those that the deltas name."""

    def __init__(self, client: EtcdClient) -> None:
        self._client = client
        self._ttl: dict[int, int] = {}

    async def learn(self) -> None:
        """Read those that the backup holds."""
        for lease in await self._client.leases(deadline=timedelta(seconds=30)):
            self._ttl[lease] = (await self._client.lease(lease)).granted_seconds

    async def grant(self, segment: Segment) -> None:
        """Grant those that a delta knows."""
        for lease, ttl in segment.leases:
            await self._grant(lease, ttl)

    async def known(self, lease: int) -> int:
        """Return `lease`; one that no delta knows is granted for a minute."""
        if lease and lease not in self._ttl:
            await self._grant(lease, _UNKNOWN_TTL_SECONDS)
        return lease

    async def _grant(self, lease: int, ttl: int) -> None:
        if lease in self._ttl:
            return
        with suppress(ConflictError):
            await self._client.grant(ttl, lease_id=lease)
        self._ttl[lease] = ttl

    async def keep(self) -> None:
        """Let none end: its keys would go, and with them a revision that never was."""
        for turn in range(1_000_000):
            due = [lease for lease, ttl in self._ttl.items() if ttl <= _SHORT_TTL_SECONDS or turn % _LONG_EVERY == 0]
            if due:
                await self._client.keep_alive(due, deadline=timedelta(seconds=30))
            await asyncio.sleep(_KEEP_ALIVE_EVERY.total_seconds())
