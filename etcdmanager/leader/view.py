"""The frozen picture that the leader decides on, and its three phases; nothing here looks at the world.

    ClusterView --phase_of--> NoCluster    nobody runs etcd yet (or a formation is half-way)
                              Restoring    an operator's restore is queued or under way
                              Running      members exist and are to be kept well

Each phase is a type of its own with what can be asked in it, so that a rule for a running cluster cannot be
asked about a cluster that does not exist. `etcdmanager.leader.observe` makes a ClusterView.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from agents.versions import Version
from etcdmanager.control.commands import BackupRequest, Claim, Formation, RestoreCommand
from etcdmanager.control.member_requests import MemberRequest
from etcdmanager.control.pause import Pause
from etcdmanager.etcd.answers import Member, RaisedAlarm, alarms_in
from etcdmanager.leader.upkeep import NOTHING_SEEN, Upkeep
from etcdmanager.peering.messages import LiveStatus
from etcdmanager.quorum import quorum
from etcdmanager.spec import ClusterSpec, EtcdNode


class Holding(Enum):
    """What a peer's data directory holds."""

    #: No state, no data, no trash: the volume was never used.
    EMPTY = "empty"
    #: No cluster is configured, but there is data, or trash of earlier incarnations.
    REMAINS = "remains"
    #: Its state names a cluster, and etcd is to run.
    CLUSTER = "cluster"
    #: Its state cannot be read or contradicts its data; the peer says why and runs nothing.
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A manager that answered in this round."""

    id: str
    #: How its etcd is reached, as its own configuration has it.
    node: EtcdNode
    holds: Holding
    #: "" unless it holds a cluster.
    cluster_token: str = ""
    #: What its state asks for.
    quarantined: bool = False
    #: Whether an etcd process of it listens where clients look for it, at this moment.
    exposed: bool = False
    #: What its state asks for, "" unless it holds a cluster.
    etcd_version: str = ""
    #: The etcd versions whose binaries it has.
    versions: tuple[Version, ...] = ()
    #: None while its etcd does not answer, or is about to be restarted with other settings.
    etcd: LiveStatus | None = None
    #: The token of a restored data directory that lies ready beside the live one; "" for none.
    prepared_token: str = ""
    #: Why it is DAMAGED, or why its etcd does not start; "" for neither.
    problem: str = ""
    #: A Go manager says little, and knows nothing of restoring beside live data; which binaries it has is not known.
    is_ours: bool = True
    #: Where its state has its etcd listen for other members; () unless it holds a cluster.
    state_peer_urls: tuple[str, ...] = ()
    #: Of the file system with its data; 0 where it does not say.
    disk_free_bytes: int = 0

    @property
    def serves(self) -> bool:
        """Return whether its etcd is a voting member that follows a raft leader."""
        return self.etcd is not None and self.etcd.leader_id != 0 and not self.etcd.is_learner


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A peer that is known (configured, or heard of) and did not answer in this round."""

    id: str
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A restore that stands in the queue, and how far it is."""

    command: RestoreCommand
    #: None before it was claimed.
    claim: Claim | None = None
    #: Whether it was carried out or given up, and only its deletion is missing.
    done: bool = False
    #: The peers that whoever asked says are gone for good.
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup in the store."""

    name: str
    taken_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """That a rule's action keeps failing; the loop's memory of it, forgotten at the first success and at every election."""

    rule: str
    code: str
    message: str
    #: Whether trying again cannot help: the input is wrong, or a safety rule refused.
    permanent: bool
    #: Whether data was found damaged.
    damage: bool = False
    #: When it first failed, and when last.
    since: datetime
    last: datetime
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """That a listed member whose manager does not show it serving was asked itself: its etcd, at the URLs that etcd lists for it."""

    member_id: int
    #: The URL at which its etcd answers; "" where nothing of it does.
    answers_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Twins:
    """Two managers that say they are the same peer."""

    id: str
    endpoints: tuple[str, ...]


#: How far the clock of the member that named a backup may be ahead of ours. Both are held by NTP; a name that is further in the
#: future says nothing about when the backup was taken.
CLOCKS_MAY_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupPolicy:
    """When to back up and when to tidy up."""

    interval: timedelta
    #: How long to wait after a failed attempt. Go tries again every loop (10 s) and fills the log with it.
    retry_after: timedelta = timedelta(seconds=30)
    #: Retention looks at most this often (Go: the same hour).
    cleanup_interval: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """Everything that a decision may depend on. Collections are sorted by id or name, so that order carries no meaning."""

    cluster_name: str
    now: datetime
    epoch: int
    peers: tuple[Peer, ...]
    absent: tuple[Absent, ...]
    #: None where no member of the majority's cluster answered the question.
    members: tuple[Member, ...] | None
    spec: ClusterSpec | None
    #: Whether `etcd-cluster-created` exists.
    marker: bool
    formation: Formation | None
    #: Queued restores, oldest first.
    queue: tuple[Queued, ...]
    requests: tuple[BackupRequest, ...]
    #: All backups in the store, oldest first.
    backups: tuple[Backup, ...]
    #: What retention would delete now, oldest first; computed by etcdmanager.backups.retention.
    expired_backups: tuple[str, ...]
    policy: BackupPolicy
    #: Why there is a spec that cannot be read, "" otherwise.
    spec_problem: str = ""
    #: What failed lately, one per rule.
    troubles: tuple[Trouble, ...] = ()
    #: When this leadership last took a backup, by our own clock; None before the first.
    last_backup: datetime | None = None
    #: When retention last ran in this leadership; None before the first time.
    last_cleanup: datetime | None = None
    #: Members' health history: (etcd member id, since when it does not serve).
    unhealthy_since: tuple[tuple[int, datetime], ...] = ()
    #: The members that were asked themselves in this round; one that is not in here was not asked.
    probes: tuple[Probe, ...] = ()
    twins: tuple[Twins, ...] = ()
    #: What operators ask of single members, oldest first.
    member_requests: tuple[MemberRequest, ...] = ()
    #: Whether the store did not answer: spec, marker, queue and backups are as they were last seen, and only membership is repaired.
    store_away: bool = False
    #: For version changes and maintenance.
    upkeep: Upkeep = NOTHING_SEEN
    #: That an operator wants nothing begun for a while; it may be over. None without one.
    pause: Pause | None = None

    def probe(self, member_id: int) -> Probe | None:
        """Return what came of asking a member itself; None where it was not asked."""
        return next((p for p in self.probes if p.member_id == member_id), None)

    def has_twin(self, peer_id: str) -> bool:
        """Return whether two managers say they are this peer."""
        return any(t.id == peer_id for t in self.twins)

    def peer(self, peer_id: str) -> Peer | None:
        """Return the peer of that id if it answered."""
        return next((p for p in self.peers if p.id == peer_id), None)

    def trouble(self, rule: str) -> Trouble | None:
        """Return what the action of `rule` last failed with, if it failed since it last worked."""
        return next((t for t in self.troubles if t.rule == rule), None)

    def absence(self, peer_id: str) -> Absent | None:
        """Return the absence of that peer if it is known and did not answer."""
        return next((a for a in self.absent if a.id == peer_id), None)

    @property
    def backed_up_at(self) -> datetime | None:
        """Return when the newest backup was taken, or None without one.

        Names from the future do not count: a machine whose clock was wrong for a minute would otherwise end all backups until
        that day. What this leadership took itself does, or it would back up without end while its own clock is behind.
        """
        named = [b.taken_at for b in self.backups if b.taken_at <= self.now + CLOCKS_MAY_DIFFER]
        return max((*named, *([self.last_backup] if self.last_backup is not None else [])), default=None)

    @property
    def from_the_future(self) -> tuple[Backup, ...]:
        """Return the backups whose names say that they will be taken."""
        return tuple(b for b in self.backups if b.taken_at > self.now + CLOCKS_MAY_DIFFER)

    @property
    def alarms(self) -> tuple[RaisedAlarm, ...]:
        """Return etcd's own alarms, as any member that answers tells them."""
        return alarms_in(text for p in self.peers if p.etcd is not None for text in p.etcd.errors)

    @property
    def configured(self) -> tuple[Peer, ...]:
        """Return the peers whose state names a cluster."""
        return tuple(p for p in self.peers if p.holds is Holding.CLUSTER)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoCluster:
    """Nobody runs etcd, or a formation is half-way."""

    seen: ClusterView


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoring:
    """A restore is queued or under way."""

    seen: ClusterView
    queued: Queued

    @property
    def command(self) -> RestoreCommand:
        """Return what was asked for."""
        return self.queued.command

    @property
    def claim(self) -> Claim | None:
        """Return how far it has come; None before it was claimed."""
        return self.queued.claim

    @property
    def targets(self) -> tuple[Peer, ...]:
        """Return the claimed members that answer."""
        wanted = self.claim.members if self.claim else ()
        return tuple(p for p in self.seen.peers if p.id in wanted)

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the claimed members that do not answer."""
        answering = {p.id for p in self.seen.peers}
        return tuple(m for m in (self.claim.members if self.claim else ()) if m not in answering)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Members exist. `token` names the incarnation that most peers belong to."""

    seen: ClusterView
    token: str

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Return the peers of this incarnation."""
        return tuple(p for p in self.seen.configured if p.cluster_token == self.token)

    @property
    def strangers(self) -> tuple[Peer, ...]:
        """Return the peers that hold another incarnation; they are reported and never touched."""
        return tuple(p for p in self.seen.configured if p.cluster_token != self.token)

    @property
    def voters(self) -> int:
        """Return how many vote: of etcd's list, or, while nobody tells it, of what the spec or the peers imply."""
        if self.seen.members is not None:
            return sum(1 for m in self.seen.members if not m.is_learner)
        wanted = self.seen.spec.member_count if self.seen.spec else 0
        return max(wanted, len(self.peers))

    @property
    def healthy(self) -> tuple[Peer, ...]:
        """Return the peers whose etcd is listed, votes and follows a raft leader."""
        listed = None if self.seen.members is None else {m.id for m in self.seen.members}
        return tuple(p for p in self.peers if p.serves and p.etcd is not None and (listed is None or p.etcd.member_id in listed))

    @property
    def has_quorum(self) -> bool:
        """Return whether we see enough members serve: what any change of the cluster needs."""
        return len(self.healthy) >= quorum(self.voters)

    @property
    def etcd_has_quorum(self) -> bool:
        """Return whether the cluster accepts writes, however few of its managers we reach.

        A voter that follows a raft leader proves it: without a quorum the leader steps down, and its followers forget it, within an
        election timeout (raft's CheckQuorum, always on in etcd).
        """
        return bool(self.healthy)

    def member_of(self, peer: Peer) -> Member | None:
        """Return the row of etcd's list that is this peer's, by name."""
        return next((m for m in self.seen.members or () if m.name == peer.node.name), None)


Phase = NoCluster | Restoring | Running


def majority_token(peers: tuple[Peer, ...]) -> str:
    """Return the cluster token that most configured peers hold; of equals, the one with a serving etcd, then the smallest.

    The tie-break only makes the answer deterministic. It authorises nothing: rules never touch the others.
    """
    counts = Counter(p.cluster_token for p in peers)
    serving = Counter(p.cluster_token for p in peers if p.serves)
    return min(counts, key=lambda token: (-counts[token], -serving[token], token))


def formation_is_open(view: ClusterView) -> bool:
    """Return whether a decided formation is still to be finished.

    It is not where the marker says that it was, nor where peers already run another incarnation: then the
    record was left behind by a leader that died between writing the marker and deleting the record.
    """
    formation = view.formation
    return formation is not None and not view.marker and all(p.cluster_token == formation.token for p in view.configured)


def phase_of(view: ClusterView) -> Phase:
    """Return the phase that `view` is in.

    A claimed restore goes before everything. Otherwise an unfinished formation is finished first: nothing can
    be restored into half a cluster that could not be formed without it.
    """
    claimed = [q for q in view.queue if q.done or q.claim is not None]
    if claimed:
        return Restoring(seen=view, queued=claimed[0])
    if formation_is_open(view):
        return NoCluster(seen=view)
    if view.queue:
        return Restoring(seen=view, queued=view.queue[0])
    if view.configured:
        return Running(seen=view, token=majority_token(view.configured))
    return NoCluster(seen=view)
