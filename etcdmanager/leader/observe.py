"""Looking at everything at once: peers, etcd's list, the control store, the backups. It changes nothing and decides nothing.

Every question has a deadline, and none waits for another peer's: a black-holed peer costs one deadline and shows up as
absent (registers B-19, B-20). Without the store there is no view; without a peer or etcd there is one that says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agents.errors import AgentError, SpecError, TransientError, VerificationError
from agents.versions import Version
from etcdmanager.backups.retention import Retention
from etcdmanager.control.commands import Formation
from etcdmanager.control.store import BadObject, ControlView
from etcdmanager.etcd.answers import Member
from etcdmanager.leader.group import Surroundings
from etcdmanager.leader.memory import Memory
from etcdmanager.leader.rules.versions import cluster_version_matters
from etcdmanager.leader.upkeep import DEFAULT_UPKEEP, UpkeepPolicy
from etcdmanager.leader.view import Absent, Backup, BackupPolicy, ClusterView, Holding, Peer, Probe, Queued, Twins, majority_token
from etcdmanager.peering.live import live_status
from etcdmanager.peering.messages import Description, EtcdCluster, Info, RestorePhase
from etcdmanager.spec import ClusterSpec

log = logging.getLogger(__name__)

#: A peer answers Describe from memory plus one local call; a second is long, and a paused machine shows by it.
DESCRIBE_WITHIN = timedelta(seconds=3)
#: Linearizable: it needs a round trip among members, or fails after etcd's own timeout.
MEMBERS_WITHIN = timedelta(seconds=2)

#: A member is asked itself once it does not serve for so long; before, nothing would be decided by the answer.
PROBE_AFTER = timedelta(seconds=20)
PROBE_WITHIN = timedelta(seconds=2)

#: Holds that say "this disk has data that nobody can explain" (etcdmanager.member.step).
_UNEXPLAINED = ("EM-M0", "EM-M1", "EM-M2", "EM-M6")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Documents:
    """The control store's single documents."""

    spec: ClusterSpec | None
    spec_problem: str
    marker: bool
    formation: Formation | None


class Observer:
    """Makes a ClusterView; one per manager, used only while it leads."""

    def __init__(
        self,
        around: Surroundings,
        *,
        retention: Retention,
        policy: BackupPolicy,
        static_spec: ClusterSpec | None = None,
        upkeep: UpkeepPolicy = DEFAULT_UPKEEP,
    ) -> None:
        """`static_spec` takes the place of the control store's, as Go's static mode has it."""
        self._around = around
        self._static_spec = static_spec
        self._retention = retention
        self._policy = policy
        self._upkeep = upkeep
        self._bad: tuple[BadObject, ...] = ()
        self._last_stored: tuple[ControlView, _Documents] | None = None

    async def observe(self, memory: Memory, *, epoch: int, now: datetime, store_away: bool = False) -> ClusterView:
        """Return the picture of this moment; errors of the store are passed on.

        With `store_away` the store is not asked: what it said last stands in. TransientError where it never said anything.
        """
        look = self._remember_store if store_away else self._look_at_store
        described, stored = await asyncio.gather(self._describe_all(memory, now), asyncio.to_thread(look))
        self._last_stored = stored
        peers, absent = described
        control, documents = stored
        members = await self._members(peers)
        if members is not None:
            serving = [p.etcd.member_id for p in peers if p.serves and p.etcd is not None]
            memory.note_health(serving, [m.id for m in members], now)
        probes = await self._probes(members or (), peers, memory, now)
        # Where something is to be formed or restored, only a fresh listing will do.
        calm = documents.marker and not control.commands and not control.requests and not control.member_requests
        if not store_away and not (calm and memory.backups_are_fresh(now)):
            await asyncio.to_thread(self._list_backups, memory, control, now)
        view = ClusterView(
            cluster_name=self._around.cluster_name,
            now=now,
            epoch=epoch,
            peers=peers,
            absent=absent,
            members=members,
            spec=documents.spec,
            spec_problem=documents.spec_problem,
            marker=documents.marker,
            formation=documents.formation,
            queue=_queue(control),
            requests=control.requests,
            member_requests=control.member_requests,
            backups=memory.backups,
            expired_backups=memory.expired,
            policy=self._policy,
            troubles=tuple(memory.troubles[rule] for rule in sorted(memory.troubles)),
            last_backup=memory.last_backup,
            last_cleanup=memory.last_cleanup,
            unhealthy_since=tuple(sorted(memory.unhealthy.items())),
            probes=probes,
            twins=tuple(Twins(id=i, endpoints=t) for i in self._around.group.known() if (t := self._around.group.twins(i))),
            store_away=store_away,
            pause=control.pause,
        )
        upkeep = replace(memory.upkeep, policy=self._upkeep, cluster_version=await self._cluster_version(view))
        revision = max((p.etcd.revision for p in peers if p.serves and p.etcd is not None), default=0)
        memory.upkeep = replace(upkeep, since=upkeep.since or now).with_revision(now, revision)
        return replace(view, upkeep=memory.upkeep)

    async def _cluster_version(self, view: ClusterView) -> Version | None:
        """Return the version of the cluster where a rule needs it. etcd says it over gRPC only when asked for a downgrade, from 3.5 on."""
        members = cluster_version_matters(view)
        serving = [p for p in view.configured if p.serves]
        if members is None or not serving:
            return None
        client = self._around.etcds.client(serving[0].node, quarantined=serving[0].quarantined)
        for above in (0, 1):
            # All members run `members`; the cluster's version is that, or the one before until etcd has noticed.
            try:
                found = await client.can_downgrade(f"{members.major}.{members.minor - above - 1}.0", deadline=MEMBERS_WITHIN)
            except AgentError as error:
                log.debug("%s does not tell the cluster's version: %s", serving[0].id, error)
                continue
            return Version.parse(found)
        return None

    async def _probes(self, members: Sequence[Member], peers: Sequence[Peer], memory: Memory, now: datetime) -> tuple[Probe, ...]:
        """Ask the members themselves that no manager shows serving: a blank twin may have answered in a living one's place."""
        silent = [m for m in members if now - memory.unhealthy.get(m.id, now) >= PROBE_AFTER]
        return tuple(await asyncio.gather(*(self._probe(member, peers) for member in silent)))

    async def _probe(self, member: Member, peers: Sequence[Peer]) -> Probe:
        node = next((p.node for p in peers if p.node.name == member.name), None)
        addresses = self._around.group.addresses(member.name)
        found = await self._around.etcds.answers_at(member, node, addresses, deadline=PROBE_WITHIN)
        return Probe(member_id=member.id, answers_at=found)

    async def _describe_all(self, memory: Memory, now: datetime) -> tuple[tuple[Peer, ...], tuple[Absent, ...]]:
        ids = self._around.group.known()
        answers = await asyncio.gather(*(self._describe(peer_id) for peer_id in ids))
        peers, absent = [], []
        for peer_id, answer in zip(ids, answers, strict=True):
            if isinstance(answer, Peer):
                memory.note_presence(peer_id)
                peers.append(answer)
            else:
                absent.append(memory.note_absence(peer_id, answer, now))
        return tuple(peers), tuple(absent)

    async def _describe(self, peer_id: str) -> Peer | str:
        """Return what a peer says, or why it does not answer. A silent one is not asked: that would only cost its deadline."""
        if silence := self._around.group.silence(peer_id):
            return silence
        connection = self._around.group.connection(peer_id)
        if connection is None:
            return "nobody knows where it is"
        try:
            description = await connection.describe(deadline=DESCRIBE_WITHIN)
            if description is None:
                return await self._with_etcd(peer_from_info(peer_id, await connection.info(deadline=DESCRIBE_WITHIN)))
        except AgentError as error:
            return str(error)
        return peer_from_description(description)

    async def _with_etcd(self, peer: Peer) -> Peer:
        """Return a Go manager's peer with what its etcd says of itself; its manager does not say it."""
        if peer.holds is not Holding.CLUSTER:
            return peer
        try:
            status = await self._around.etcds.client(peer.node, quarantined=peer.quarantined).status(deadline=MEMBERS_WITHIN)
        except AgentError as error:
            log.debug("etcd of %s does not answer: %s", peer.id, error)
            return peer
        return replace(peer, etcd=live_status(status))

    async def _members(self, peers: Sequence[Peer]) -> tuple[Member, ...] | None:
        """Return the list that a quorum agrees on, asked of the raft leader first; None where nobody can tell."""
        configured = tuple(p for p in peers if p.holds is Holding.CLUSTER)
        if not configured:
            return None
        token = majority_token(configured)
        candidates = [p for p in configured if p.cluster_token == token and p.serves and p.etcd is not None]
        candidates.sort(key=lambda p: (p.etcd is None or p.etcd.leader_id != p.etcd.member_id, p.id))
        for peer in candidates[:3]:
            try:
                client = self._around.etcds.client(peer.node, quarantined=peer.quarantined)
                found = await client.members(linearizable=True, deadline=MEMBERS_WITHIN)
            except AgentError as error:
                log.debug("%s does not tell etcd's members: %s", peer.id, error)
                continue
            return tuple(sorted(found.members, key=lambda m: m.id))
        return None

    def _remember_store(self) -> tuple[ControlView, _Documents]:
        if self._last_stored is None:
            raise TransientError("the store is away, and was never looked at in this leadership", code="store-away")
        return self._last_stored

    def _look_at_store(self) -> tuple[ControlView, _Documents]:
        control = self._around.control.observe()
        if control.bad != self._bad:
            for bad in control.bad:
                log.warning("%s is ignored: %s", bad.key, bad.reason)
            self._bad = control.bad
        return control, self._documents()

    def _documents(self) -> _Documents:
        """Return the single documents; a damaged one stops what depends on it and nothing else (law R10)."""
        control = self._around.control
        spec, problem = self._static_spec, ""
        if spec is None:
            try:
                spec = control.spec()
            except SpecError as error:
                problem = str(error)
        try:
            marker = control.is_created()
        except VerificationError as error:
            # Whoever broke it had a marker to break.
            log.debug("%s", error)
            marker = True
        try:
            found = control.formation()
        except SpecError:
            # It matters only before the marker; there nobody may guess that nothing was decided.
            if not marker:
                raise
            found = None
        return _Documents(spec=spec, spec_problem=problem, marker=marker, formation=found.document if found is not None else None)

    def _list_backups(self, memory: Memory, control: ControlView, now: datetime) -> None:
        memory.backups = tuple(
            Backup(name=b.text, taken_at=b.taken_at) for b in sorted(self._around.backups.list(), key=lambda b: b.taken_at)
        )
        due = memory.last_cleanup is None or now - memory.last_cleanup >= self._policy.cleanup_interval
        protected = [q.command.backup for q in control.commands]
        backups = self._around.backups
        memory.expired = (*backups.orphans(), *backups.expired(now, self._retention, protected=protected)) if due else ()
        memory.backups_seen = now


def peer_from_description(described: Description) -> Peer:
    """Return what one of our managers says about its member, as the rules see it; pure."""
    state = described.info.state
    configured = state is not None and state.cluster is not None
    hold = described.hold
    restore = described.restore
    prepared = restore.cluster_token if restore is not None and restore.phase is RestorePhase.PREPARED else ""
    if hold is not None and hold.code.startswith(_UNEXPLAINED):
        holds = Holding.DAMAGED
    elif configured:
        holds = Holding.CLUSTER
    elif described.info.disk_empty and not described.disk.data_tokens and not described.disk.trash:
        holds = Holding.EMPTY
    else:
        holds = Holding.REMAINS
    cluster = state.cluster if state is not None and holds is Holding.CLUSTER else None
    process = described.process
    quarantined = state is not None and cluster is not None and state.quarantined
    settled = cluster is not None and process.cluster_token == cluster.token and process.quarantined == quarantined
    return Peer(
        id=described.peer_id,
        node=described.info.node,
        holds=holds,
        cluster_token=cluster.token if cluster is not None else "",
        quarantined=quarantined,
        exposed=process.running and not process.quarantined,
        etcd_version=state.etcd_version if state is not None and cluster is not None else "",
        versions=_versions([found.version for found in described.binaries]),
        etcd=described.etcd if settled else None,
        prepared_token=prepared,
        problem=_problem(described),
        state_peer_urls=_state_peer_urls(described.peer_id, cluster),
        disk_free_bytes=described.disk.free_bytes,
    )


def peer_from_info(peer_id: str, info: Info) -> Peer:
    """Return the little that a Go manager says; nothing is known of its binaries or its live etcd; pure."""
    cluster = info.state.cluster if info.state is not None else None
    holds = Holding.CLUSTER if cluster is not None else Holding.EMPTY if info.disk_empty else Holding.REMAINS
    return Peer(
        id=peer_id,
        node=info.node,
        holds=holds,
        cluster_token=cluster.token if cluster is not None else "",
        quarantined=info.state is not None and cluster is not None and info.state.quarantined,
        etcd_version=info.state.etcd_version if info.state is not None and cluster is not None else "",
        exposed=cluster is not None and info.state is not None and not info.state.quarantined,
        is_ours=False,
    )


def _state_peer_urls(peer_id: str, cluster: EtcdCluster | None) -> tuple[str, ...]:
    """Return where a member's state has its etcd listen for the others."""
    node = cluster.node(peer_id) if cluster is not None else None
    return node.peer_urls if node is not None else ()


def _problem(described: Description) -> str:
    """Return why a member does not do what its state asks for, "" where nothing is wrong."""
    if described.hold is not None:
        return f"{described.hold.reason} ({described.hold.code})"
    process = described.process
    if process.failures and process.last_exit:
        last = process.last_log_lines[-1][:200] if process.last_log_lines else ""
        return f"etcd ended {process.failures} times: {process.last_exit}{'; ' + last if last else ''}"
    return ""


def _versions(texts: Sequence[str]) -> tuple[Version, ...]:
    """Return the versions that parse, sorted; one that does not is no version that a spec could ask for."""
    found = set()
    for text in texts:
        try:
            found.add(Version.parse(text))
        except SpecError:
            log.debug("%r is no version", text)
    return tuple(sorted(found))


def _queue(control: ControlView) -> tuple[Queued, ...]:
    """Return the restores that stand in the queue."""
    return tuple(
        Queued(command=q.command, claim=q.claim.document if q.claim is not None else None, done=q.receipt or q.failed, gone=q.gone)
        for q in control.commands
    )
