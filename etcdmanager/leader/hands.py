"""Single effects on peers, each authorised and with a deadline; `execute` and `restoring` combine them into actions."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from agents.errors import AgentError, ConflictError, DeadlineError, InvariantError, TransientError, VerificationError
from etcdmanager.etcd.client import EtcdClient
from etcdmanager.leader.actions import Action
from etcdmanager.leader.group import Surroundings
from etcdmanager.leader.memory import Memory
from etcdmanager.leader.rules.quarantine import is_raft_leader
from etcdmanager.leader.view import ClusterView, Peer
from etcdmanager.peering import messages as m
from etcdmanager.peering.client import OnProgress
from etcdmanager.peering.client import Peer as PeerConnection
from etcdmanager.spec import ClusterSpec, EtcdNode

log = logging.getLogger(__name__)

#: Handlers persist what is desired and return; writing and syncing a small file takes milliseconds.
SHORT = timedelta(seconds=10)
#: 8 GiB, etcd's largest recommended database, streamed, compressed and uploaded at 10 MB/s or more.
BACKUP = timedelta(minutes=15)


class Authority(Protocol):
    """The leadership that authorises what is done."""

    @property
    def header(self) -> m.Header:
        """Return what a mutating request carries."""
        ...

    def within(self, wanted: timedelta) -> timedelta:
        """Return the deadline for a mutating step: `wanted`, or what is left of the leadership; TransientError with too little left."""
        ...

    def require(self) -> None:
        """Raise TransientError unless there is enough of the leadership left to begin something."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An action, the view that it was decided on, and by whose authority it is carried out."""

    action: Action
    view: ClusterView
    authority: Authority
    memory: Memory

    def peer(self, peer_id: str) -> Peer:
        """Return a peer that the action names; a rule that names one that it did not see has a bug."""
        peer = self.view.peer(peer_id)
        if peer is None:
            raise InvariantError(f"the action names {peer_id}, which the view does not have")
        return peer

    def serving(self) -> Peer:
        """Return a serving member to ask; the raft leader where it is known, for it needs no forwarding. TransientError without any."""
        serving = [p for p in self.view.peers if p.serves and p.etcd is not None]
        if not serving:
            raise TransientError("no member serves", code="no-quorum")
        return next((p for p in serving if is_raft_leader(p)), serving[0])

    def nodes(self, members: Iterable[str]) -> tuple[EtcdNode, ...]:
        """Return the etcd nodes of peers, by what they say of themselves; TransientError where one does not answer."""
        nodes = []
        for member in members:
            peer = self.view.peer(member)
            if peer is None:
                raise TransientError(f"{member} does not answer, and its URLs are needed", code="peer-absent")
            nodes.append(replace(peer.node, tls_enabled=all(url.startswith("https://") for url in peer.node.peer_urls)))
        return tuple(nodes)


class Hands:
    """What can be done to one peer, or to several at once."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def connection(self, peer: str) -> PeerConnection:
        """Return the way to a peer; TransientError where nobody ever said where it is."""
        connection = self._around.group.connection(peer)
        if connection is None:
            raise TransientError(f"nobody knows where {peer} is", code="peer-unknown")
        return connection

    def etcd(self, peer: Peer) -> EtcdClient:
        """Return a client to a peer's etcd, where it listens now."""
        return self._around.etcds.client(peer.node, quarantined=peer.quarantined)

    async def on_all(self, peers: Iterable[str], work: Callable[[str], Awaitable[None]]) -> None:
        """Do `work` on all peers at the same time, wait for all, then raise the worst of what failed: what will not pass by itself."""
        results = await asyncio.gather(*(work(peer) for peer in peers), return_exceptions=True)
        failures = [r for r in results if isinstance(r, BaseException)]
        if failures:
            raise next((f for f in failures if not isinstance(f, TransientError | DeadlineError | ConflictError)), failures[0])

    async def join(self, order: Order, peer: str, request: m.JoinRequest) -> None:
        """Take a peer through one step of becoming a member."""
        await self.connection(peer).join(request, order.authority.header, deadline=order.authority.within(SHORT))

    async def set_quarantine(self, order: Order, peer: str, *, quarantined: bool) -> None:
        """Have a peer persist where its etcd is to listen; its own loop restarts it."""
        request = m.ReconfigureRequest(quarantined=quarantined)
        await self.connection(peer).reconfigure(request, order.authority.header, deadline=order.authority.within(SHORT))

    async def lift(self, order: Order, peer_id: str) -> None:
        """Let clients reach a member; where it leads raft and another can, the lead is moved first (law R7)."""
        await self.reconfigure(order, peer_id, m.ReconfigureRequest(quarantined=False))

    async def reconfigure(self, order: Order, peer_id: str, request: m.ReconfigureRequest) -> None:
        """Have one serving member run otherwise, which restarts its etcd; raft's lead is moved away first where it can be (law R7)."""
        await self.lead_elsewhere(order, order.peer(peer_id))
        await self.connection(peer_id).reconfigure(request, order.authority.header, deadline=order.authority.within(SHORT))

    async def lead_elsewhere(self, order: Order, peer: Peer) -> None:
        """Have another member lead raft where `peer` does; not being able to is no error."""
        if is_raft_leader(peer):
            await self._move_raft_leader_away(order, peer)

    async def take_backup(
        self, order: Order, peers: Iterable[str], *, reason: str, label: str = "", news: Callable[[str], OnProgress] | None = None
    ) -> m.TakenBackup:
        """Return the backup that the first peer that can takes; where none can, the error of one that may be able to later."""
        info = m.BackupInfo(cluster_spec=order.view.spec or spec_as_seen(order.view))
        request = m.TakeBackupRequest(storage=self._around.backups.url, info=info, reason=reason, label=label)
        worst: AgentError = InvariantError("a backup was decided with nobody to take it from")
        for peer in peers:
            connection, header = self.connection(peer), order.authority.header
            try:
                if order.peer(peer).is_ours:
                    taken = await connection.take_backup(request, header, deadline=BACKUP, on_progress=news(peer) if news else None)
                else:
                    taken = m.TakenBackup(name=await connection.do_backup(request.storage, info, header, deadline=BACKUP))
            except (TransientError, DeadlineError, VerificationError) as error:
                log.warning("no backup from %s: %s", peer, error)
                if not isinstance(worst, TransientError | DeadlineError):
                    worst = error
                continue
            order.memory.backup_taken(order.view.now, verified=taken.verified)
            log.info("backup %s from %s: revision %d, %d ms (%s)", taken.name, peer, taken.revision, taken.duration_ms, reason)
            return taken
        raise worst

    async def _move_raft_leader_away(self, order: Order, peer: Peer) -> None:
        """Move raft's lead to the follower that is furthest ahead; an election costs a second, so failing to is not an error."""
        followers = [
            p.etcd
            for p in order.view.peers
            if p.serves and p.etcd is not None and p.id != peer.id and p.cluster_token == peer.cluster_token
        ]
        if not followers:
            return
        target = max(followers, key=lambda status: (status.raft_index, status.member_id))
        try:
            await self.etcd(peer).move_leader(target.member_id, deadline=order.authority.within(SHORT))
        except AgentError as error:
            log.warning("raft's lead stays at %s: %s", peer.id, error)


def spec_as_seen(view: ClusterView) -> ClusterSpec:
    """Return what the cluster is, for the metadata of a backup where nobody says what it should be; a restore asks for a spec."""
    count = len(view.members) if view.members else len(view.configured)
    versions = sorted({p.etcd_version for p in view.configured if p.etcd_version})
    return ClusterSpec(member_count=count, etcd_version=versions[0] if versions else "")


def new_token() -> str:
    """Return a fresh cluster token: 16 random bytes as 22 characters, as Go's."""
    return secrets.token_urlsafe(16)
