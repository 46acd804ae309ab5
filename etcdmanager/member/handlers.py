"""What other managers may ask of this member. Every handler checks who asks, persists what is desired, and lets the loop do it.

A repeated request is harmless: where what it asks for is so already, it is answered and nothing happens. The texts of
errors that operators and Go leaders know are the Go program's (reference, appendix B).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta

from agents.errors import RefusedError
from agents.hosts_file import host_lines, replace_block
from etcdmanager.member.describe import Describer
from etcdmanager.member.jobs import MemberJobs
from etcdmanager.member.leadership import Leadership
from etcdmanager.member.local_etcd import LocalEtcd
from etcdmanager.member.loop import Member
from etcdmanager.member.preparation import Preparation
from etcdmanager.member.state import KeptState
from etcdmanager.member.step import unexplained_data
from etcdmanager.peering import messages as m
from etcdmanager.spec import EtcdNode, with_scheme

log = logging.getLogger(__name__)

Report = Callable[[m.Progress], None]

#: Stopping takes up to the grace of a SIGTERM and the time after a SIGKILL, and then etcd is started: all within a Go leader's patience.
_CONVERGENCE = timedelta(seconds=20)
HOSTS_FILE = "/etc/hosts"


class MemberHandlers:
    """The member's side of EtcdManagerService and MemberService, and of LeaderNotification.

    `caller` is the peer id that the caller's certificate proves, None without TLS.
    """

    def __init__(
        self, member: Member, *, leadership: Leadership, local_etcd: LocalEtcd, is_restore_queued: Callable[[], bool] | None = None
    ) -> None:
        """`is_restore_queued` looks into the control store; None lets Go leaders stop a serving etcd at will."""
        self._is_restore_queued = is_restore_queued
        self._member = member
        self._setup = member.setup
        self._leadership = leadership
        self._preparation = Preparation()
        self.describer = Describer(member, leadership=leadership, preparation=self._preparation, local_etcd=local_etcd)
        self.jobs = MemberJobs(member, local_etcd=local_etcd, address=self.describer.address)

    async def notify_leadership(self, view: m.View, *, caller: str | None, healthy: Collection[m.PeerInfo]) -> m.LeadershipAnswer:
        """Accept or refuse a leader."""
        await asyncio.to_thread(self._setup.require_ground)
        return self._leadership.notify(view, caller=caller, healthy=healthy)

    async def info(self) -> m.Info:
        """Return GetInfo's answer; anybody of the cluster may ask."""
        return await self.describer.info()

    async def describe(self) -> m.Description:
        """Return everything about this member; anybody of the cluster may ask."""
        return await self.describer.describe()

    async def update_endpoints(self, members: Sequence[m.MemberMapEntry]) -> None:
        """Keep the members' names resolvable before there is any DNS; only where a DNS suffix is configured."""
        lines = hosts_lines(members)
        if lines and self._setup.config.dns_suffix:
            await asyncio.to_thread(self._write_hosts, lines)

    async def join(self, request: m.JoinRequest, header: m.Header, *, caller: str | None) -> None:
        """Take a step of becoming a member. It returns once etcd was started, not once it is healthy."""
        self._leadership.authorise(header, caller=caller)
        now = self._setup.clock.monotonic()
        if request.phase is m.JoinPhase.CANCEL_PREPARE:
            self._preparation.cancel(request.cluster_token, now)
            return
        await asyncio.to_thread(self._member.binaries.find, request.etcd_version)
        async with self._member.desire:
            look = await self._member.look()
            stored = look.view.stored
            current = stored.state.cluster if isinstance(stored, KeptState) else None
            if current is not None and current.token == request.cluster_token and request.phase is not m.JoinPhase.PREPARE:
                return
            if hold := unexplained_data(look.view):
                raise RefusedError(f"{hold.reason}; this member joins nothing", code=hold.code, hint=hold.hint)
            if current is not None or self._member.process.record is not None:
                raise RefusedError("etcd process already running", code="etcd-running")
            if request.phase is m.JoinPhase.PREPARE:
                self._preparation.promise(request.cluster_token, now)
                return
            self._preparation.redeem(request.cluster_token, now)
            await self._member.store(joined_state(request))
            self._preparation.cancel(request.cluster_token, now)
        await self._member.converge(deadline=_CONVERGENCE)

    async def reconfigure(self, request: m.ReconfigureRequest, header: m.Header, *, caller: str | None) -> None:
        """Change quarantine, version, TLS or peer URLs; etcd is restarted only if that changes something."""
        self._leadership.authorise(header, caller=caller)
        if request.set_etcd_version:
            await asyncio.to_thread(self._member.binaries.find, request.set_etcd_version)
        async with self._member.desire:
            state = await self._cluster_state()
            changed = reconfigured(state, request, own=self._setup.node)
            if changed != state:
                await self._member.store(changed)
        await self._member.converge(deadline=_CONVERGENCE)

    async def stop_etcd(self, header: m.Header, *, caller: str | None) -> None:
        """Stop etcd and move its data to the trash; nothing happens where there is no cluster any more."""
        self._leadership.authorise(header, caller=caller)
        if not header.epoch:
            await self._veto_stop()
        async with self._member.desire:
            stored = await self._member.stored()
            if not isinstance(stored, KeptState):
                raise RefusedError("cluster not running", code="no-cluster")
            if await asyncio.to_thread(self._member.intent_file.read) is not None:
                raise RefusedError("a restore is under way at this member", code="restore-under-way", hint="abort it first")
            if stored.state.cluster is not None:
                await self._member.store(m.EtcdState(archive_token=stored.state.cluster.token))
        await self._member.converge(deadline=_CONVERGENCE)

    async def _veto_stop(self) -> None:
        """Raise RefusedError where a Go leader would take a serving member's data away though nobody asked for a restore (B-01, B-02)."""
        if self._is_restore_queued is None:
            return
        etcd = (await self.describer.describe()).etcd
        if etcd is None or not etcd.leader_id or await asyncio.to_thread(self._is_restore_queued):
            return
        log.error("refusing to stop a serving etcd for %s: no restore is queued in the control store", self._leadership.accepted.leader_id)
        raise RefusedError(
            "this member serves, and no restore is queued: its data stays", code="veto-stop", hint="--veto-go-leaders=false allows it"
        )

    async def do_backup(self, storage: str, info: m.BackupInfo, header: m.Header, *, caller: str | None) -> str:
        """Back up for a Go leader: no progress, only the name."""
        request = m.TakeBackupRequest(storage=storage, info=info, reason="request")
        return (await self.take_backup(request, header, caller=caller, report=_silent)).name

    async def do_restore(self, storage: str, backup_name: str, header: m.Header, *, caller: str | None) -> None:
        """Copy a backup into our fenced, empty etcd, for a Go leader, which formed it so; leaders of ours restore data directories."""
        self._leadership.authorise(header, caller=caller)
        log.warning("copying backup %s key by key for %s: revisions begin anew", backup_name, self._leadership.accepted.leader_id)
        await self.jobs.copy_backup(storage, backup_name)

    async def take_backup(self, request: m.TakeBackupRequest, header: m.Header, *, caller: str | None, report: Report) -> m.TakenBackup:
        """Back the local member up. Nothing else waits for it."""
        self._leadership.authorise(header, caller=caller)
        return await self.jobs.take_backup(request, report)

    async def prepare_restore(
        self, request: m.PrepareRestoreRequest, header: m.Header, *, caller: str | None, report: Report
    ) -> m.PreparedRestore:
        """Restore a backup beside the serving data."""
        self._leadership.authorise(header, caller=caller)
        return await self.jobs.prepare_restore(request, report)

    async def commit_restore(self, cluster_token: str, header: m.Header, *, caller: str | None) -> str:
        """Swap prepared data in."""
        self._leadership.authorise(header, caller=caller)
        return await self.jobs.commit_restore(cluster_token, deadline=_CONVERGENCE)

    async def abort_restore(self, cluster_token: str, header: m.Header, *, caller: str | None) -> None:
        """Throw prepared data away."""
        self._leadership.authorise(header, caller=caller)
        await self.jobs.abort_restore(cluster_token, deadline=_CONVERGENCE)

    async def _cluster_state(self) -> m.EtcdState:
        stored = await self._member.stored()
        if not isinstance(stored, KeptState) or stored.state.cluster is None:
            raise RefusedError("cluster not running", code="no-cluster")
        return stored.state

    def _write_hosts(self, lines: Sequence[str]) -> None:
        name = self._setup.config.cluster_name
        host = self._setup.host
        before = host.read(HOSTS_FILE).decode(errors="surrogateescape")
        after = replace_block(
            before,
            begin=f"# Begin host entries managed by etcd-manager[{name}] - do not edit",
            end=f"# End host entries managed by etcd-manager[{name}]",
            lines=lines,
        )
        if after != before:
            log.info("writing %d names of members to %s", len(lines), HOSTS_FILE)
            host.write_in_place(HOSTS_FILE, after.encode(errors="surrogateescape"))


def joined_state(request: m.JoinRequest) -> m.EtcdState:
    """Return the desired state of a member that joins.

    A new cluster starts quarantined, as the Go program's does, unless the leader knows that it is empty and may be open at once.
    """
    new = request.phase is m.JoinPhase.INITIAL_CLUSTER
    return m.EtcdState(
        cluster=m.EtcdCluster(token=request.cluster_token, nodes=request.nodes),
        new_cluster=new,
        joining=not new,
        etcd_version=request.etcd_version,
        quarantined=new and not request.start_open,
    )


def reconfigured(state: m.EtcdState, request: m.ReconfigureRequest, *, own: EtcdNode) -> m.EtcdState:
    """Return the state that a Reconfigure asks for, `own` being our configuration; RefusedError where we are not among its nodes. Pure."""
    cluster = state.cluster
    if cluster is None or cluster.node(own.name) is None:
        raise RefusedError("self node was not included in cluster", code="EM-M4-not-a-member")
    if request.enable_tls:
        nodes = tuple(_with_tls(node) if node.name == own.name else node for node in cluster.nodes)
        cluster = replace(cluster, nodes=nodes)
    if request.adopt_peer_urls:
        cluster = replace(cluster, nodes=tuple(_adopting(node, own) if node.name == own.name else node for node in cluster.nodes))
    return replace(state, cluster=cluster, quarantined=request.quarantined, etcd_version=request.set_etcd_version or state.etcd_version)


def hosts_lines(members: Sequence[m.MemberMapEntry]) -> tuple[str, ...]:
    """Return the lines of a hosts file that make the members' names resolve; entries without a name or address are skipped. Pure."""
    return host_lines(
        {entry.dns: [address.rpartition(":")[0].strip("[]") for address in entry.addresses] for entry in members if entry.dns}
    )


def _adopting(recorded: EtcdNode, own: EtcdNode) -> EtcdNode:
    tls = all(url.startswith("https://") for url in own.peer_urls)
    return replace(recorded, peer_urls=own.peer_urls, tls_enabled=tls)


def _with_tls(node: EtcdNode) -> EtcdNode:
    return replace(
        node,
        peer_urls=tuple(with_scheme(url, "https") for url in node.peer_urls),
        client_urls=tuple(with_scheme(url, "https") for url in node.client_urls),
        quarantined_client_urls=tuple(with_scheme(url, "https") for url in node.quarantined_client_urls),
        tls_enabled=True,
    )


def _silent(progress: m.Progress) -> None:
    del progress
