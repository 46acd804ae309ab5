"""Carrying out version changes and maintenance of a running cluster; `execute` hands these actions here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from agents.errors import AgentError, ConflictError, NotFoundError, TransientError
from etcdmanager.etcd.answers import HashKV
from etcdmanager.etcd.client import DEFRAGMENT
from etcdmanager.leader import actions as a
from etcdmanager.leader.hands import SHORT, Hands, Order
from etcdmanager.leader.upkeep import HashComparison, MemberHash
from etcdmanager.leader.view import Peer
from etcdmanager.peering import messages as m

log = logging.getLogger(__name__)

#: A hash reads the whole database: 8 GiB, from the page cache or a disk that does 300 MB/s.
HASH = timedelta(seconds=30)
#: A physical compaction of 8 GiB takes longer; it goes on behind the deadline, and is asked for again.
COMPACT = timedelta(seconds=10)


class UpkeepExecutor:
    """Does what the rules of versions and maintenance ask for."""

    def __init__(self, hands: Hands, *, now: Callable[[], datetime]) -> None:
        self._hands = hands
        self._now = now

    async def execute(self, order: Order, action: a.UpkeepAction) -> None:  # noqa: C901  one case per kind of action
        """Do it; any AgentError means that it was not, or not wholly, done."""
        match action:
            case a.ChangeVersion(peer=peer, to=to):
                log.info("taking %s to etcd %s", peer, to)
                await self._hands.reconfigure(
                    order, peer, m.ReconfigureRequest(quarantined=order.peer(peer).quarantined, set_etcd_version=to)
                )
            case a.EnableDowngrade(to=to):
                await self._enable_downgrade(order, to)
            case a.CancelDowngrade():
                await self._cancel_downgrade(order)
            case a.CompareHashes(peers=peers):
                await self._compare_hashes(order, peers)
            case a.ChangePeerUrls(peer=peer, urls=urls):
                await self._change_peer_urls(order, peer, urls)
            case a.Defragment(peer=peer, request=request):
                await self._defragment(order, peer)
                done = order.memory.upkeep.defragmented_for | ({request} if request else set())
                order.memory.upkeep = replace(order.memory.upkeep, defragmented_for=done)
            case a.Compact(revision=revision):
                await self._compact(order, revision)
            case a.Disarm(alarms=alarms):
                for raised in alarms:
                    await self._hands.etcd(order.serving()).disarm(raised, deadline=order.authority.within(SHORT))
                    log.info("disarmed %s of member %x", raised.alarm.name, raised.member_id)
            case _:
                assert_never(action)

    async def _defragment(self, order: Order, name: str) -> None:
        """Defragment a member without raft's lead. It counts as done however it ends: a member that hangs is not asked again at once.

        It may outlast our leadership; a successor waits longer than this takes before it defragments anybody.
        """
        peer = order.peer(name)
        await self._hands.lead_elsewhere(order, peer)
        order.authority.require()
        done = dict(order.memory.upkeep.defragmented) | {name: self._now()}
        order.memory.upkeep = replace(order.memory.upkeep, defragmented=tuple(sorted(done.items())))
        client, before, began = self._hands.etcd(peer), peer.etcd, self._now()
        await client.defragment(deadline=DEFRAGMENT)
        after = await client.status(deadline=SHORT)
        sizes = f"from {(before.db_size_bytes if before is not None else 0) >> 20} to {after.db_size_bytes >> 20} MiB"
        log.info("defragmented %s %s in %.1f s", name, sizes, (self._now() - began).total_seconds())

    async def _compact(self, order: Order, revision: int) -> None:
        client = self._hands.etcd(order.serving())
        try:
            await client.compact(revision, physical=True, deadline=order.authority.within(COMPACT))
        except NotFoundError:
            log.info("revision %d was compacted already", revision)
        order.memory.upkeep = replace(order.memory.upkeep, compacted_at=revision, compacted_on=self._now())
        log.info("compacted at revision %d", revision)

    async def _change_peer_urls(self, order: Order, name: str, urls: tuple[str, ...]) -> None:
        """Move raft's lead away, change the list, restart the member; cut off after the list, `finish_peer_urls` goes on from there."""
        peer = order.peer(name)
        member = next((m for m in order.view.members or () if m.name == peer.node.name), None)
        if member is not None and sorted(member.peer_urls) != sorted(urls):
            log.info("%s is to be reached at %s", name, ", ".join(urls))
            await self._hands.lead_elsewhere(order, peer)
            other = next((p for p in order.view.peers if p.serves and p.id != name and p.cluster_token == peer.cluster_token), peer)
            await self._hands.etcd(other).update(member.id, urls, deadline=order.authority.within(SHORT))
        await self._hands.reconfigure(order, name, m.ReconfigureRequest(quarantined=peer.quarantined, adopt_peer_urls=True))

    async def _enable_downgrade(self, order: Order, to: str) -> None:
        """Enable it where etcd says that it can; an etcd that cannot is never asked to (3.5 hangs)."""
        client = self._hands.etcd(order.serving())
        try:
            await client.can_downgrade(to, deadline=order.authority.within(SHORT))
            await client.enable_downgrade(to, deadline=order.authority.within(SHORT))
        except ConflictError as error:
            if error.code != "etcd-downgrade-under-way":
                raise
        log.info("etcd's own downgrade to %s is enabled", to)

    async def _cancel_downgrade(self, order: Order) -> None:
        try:
            await self._hands.etcd(order.serving()).cancel_downgrade(deadline=order.authority.within(SHORT))
        except ConflictError as error:
            if error.code != "etcd-no-downgrade":
                raise
        log.info("etcd's own downgrade is cancelled")

    async def _compare_hashes(self, order: Order, peers: tuple[str, ...]) -> None:
        """Hash the keys of all `peers` at the revision that the last of them has reached."""
        asked = [order.peer(name) for name in peers]
        revision = min(await asyncio.gather(*(self._revision(peer) for peer in asked)))
        hashes = await asyncio.gather(*(self._hash(peer, revision) for peer in asked))
        found = HashComparison(
            at=self._now(),
            revision=revision,
            hashes=tuple(
                MemberHash(
                    peer=peer.id,
                    version=peer.etcd.version if peer.etcd is not None else "",
                    hash=one.hash,
                    compact_revision=one.compact_revision,
                )
                for peer, one in zip(asked, hashes, strict=True)
            ),
        )
        order.memory.upkeep = replace(order.memory.upkeep, hashes=found)
        if found.odd:
            log.error("at revision %d the members hold different keys: %s", revision, found.hashes)
        else:
            log.info("all %d members hold the same keys at revision %d", len(asked), revision)

    async def _revision(self, peer: Peer) -> int:
        return (await self._hands.etcd(peer).status(deadline=SHORT)).revision

    async def _hash(self, peer: Peer, revision: int) -> HashKV:
        try:
            return await self._hands.etcd(peer).hash_kv(revision=revision, deadline=HASH)
        except AgentError as error:
            raise TransientError(f"the keys of {peer.id} were not hashed: {error}", code="hash-not-compared") from error
