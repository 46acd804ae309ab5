"""What managers say to each other, as frozen values. Pure: no protobuf, no gRPC; `etcdmanager.peering.codec` puts them on the wire.

Empty tuples, "" and 0 mean "not said", as in proto3; None is used only where absence has a meaning of its own, and says which.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from etcdmanager.spec import ClusterSpec, EtcdNode

#: Announced in PeerInfo by every manager of this project; a Go manager announces nothing.
CAPABILITY = "nodeagents/1"
#: Announced by managers that keep promises to a leader whose store is away (decision 0005).
PROMISES = "promises/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerInfo:
    """Who a manager says it is and where it answers ("address:port")."""

    id: str
    endpoints: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()

    @property
    def is_ours(self) -> bool:
        """Whether it is a manager of this project, which knows MemberService and epochs."""
        return CAPABILITY in self.capabilities

    @property
    def keeps_promises(self) -> bool:
        """Whether its acknowledgement may take the place of the store's."""
        return PROMISES in self.capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A leader's claim: who leads, by which token and epoch, seeing whom. Epoch 0 is a leader without a lock (Go).

    `promise` asks the peer to have any later leader wait for so long (decision 0005); zero asks for nothing.
    """

    leader: PeerInfo
    leadership_token: str
    healthy: tuple[PeerInfo, ...]
    epoch: int = 0
    promise: timedelta = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadershipAnswer:
    """A peer's answer to a claim. When refused, `healthy` is whom that peer sees, and `highest_epoch` what it has accepted before.

    `promised` is how long that peer may still be promised to another leader.
    """

    accepted: bool
    healthy: tuple[PeerInfo, ...] = ()
    highest_epoch: int = 0
    refusal: str = ""
    promised: timedelta = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What authorises a request that changes something: the token of the accepted leadership, and its epoch."""

    leadership_token: str
    cluster_name: str
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdCluster:
    """One incarnation of an etcd cluster: its token, which names the data directory, and the nodes it was started with."""

    token: str
    nodes: tuple[EtcdNode, ...] = ()

    def node(self, name: str) -> EtcdNode | None:
        """Return the node of that name, None where the incarnation was started without it."""
        return next((node for node in self.nodes if node.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdState:
    """The desired state of one member, as persisted. `cluster` None: etcd is to be stopped.

    `new_cluster` and `joining` allow an empty data directory to be started once; without them it is refused.
    `archive_token` names a data directory that is to go to the trash. `restored`: the data is a backup's and was never started.
    """

    cluster: EtcdCluster | None = None
    new_cluster: bool = False
    etcd_version: str = ""
    quarantined: bool = False
    joining: bool = False
    archive_token: str = ""
    restored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """GetInfo's answer. `state` None: no cluster is configured at that peer."""

    cluster_name: str
    node: EtcdNode
    state: EtcdState | None
    disk_empty: bool


class JoinPhase(Enum):
    """What JoinCluster asks; the values are the wire's."""

    PREPARE = 1
    INITIAL_CLUSTER = 2
    JOIN_EXISTING = 3
    CANCEL_PREPARE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """One step of becoming a member. `start_open`: an empty new cluster need not start quarantined (ours only)."""

    phase: JoinPhase
    cluster_token: str
    nodes: tuple[EtcdNode, ...] = ()
    etcd_version: str = ""
    start_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconfigureRequest:
    """Change how etcd runs. `quarantined` always applies; "" and False leave the version, TLS and peer URLs as they are.

    `adopt_peer_urls` (ours only): listen at the peer URLs of the receiver's own configuration from now on.
    """

    quarantined: bool
    set_etcd_version: str = ""
    enable_tls: bool = False
    adopt_peer_urls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberMapEntry:
    """A member's name, DNS name ("" for none) and addresses ("ip:port")."""

    name: str
    dns: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupInfo:
    """What a backup's metadata says. `timestamp` None is 1970's zero: not set."""

    etcd_version: str = ""
    timestamp: datetime | None = None
    cluster_spec: ClusterSpec | None = None


# What only our managers say (MemberService).


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskReport:
    """What lies in a member's data directory. Tokens are directory names, sorted; bytes are of its file system."""

    has_state: bool = False
    data_tokens: tuple[str, ...] = ()
    trash: tuple[str, ...] = ()
    incoming: tuple[str, ...] = ()
    free_bytes: int = 0
    total_bytes: int = 0
    trash_bytes: int = 0

    @property
    def holds_anything(self) -> bool:
        """Whether any trace of an etcd cluster is there: then no new cluster may be formed over it."""
        return bool(self.has_state or self.data_tokens or self.trash or self.incoming)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessReport:
    """The member's etcd process as its manager sees it. `next_start` None: no start is waiting."""

    running: bool = False
    pid: int = 0
    started: datetime | None = None
    version: str = ""
    cluster_token: str = ""
    quarantined: bool = False
    failures: int = 0
    next_start: datetime | None = None
    last_exit: str = ""
    last_log_lines: tuple[str, ...] = ()
    adopted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStatus:
    """etcd's own Maintenance.Status. `leader_id` 0: it knows no raft leader."""

    member_id: int
    cluster_id: int
    leader_id: int
    raft_index: int
    raft_applied_index: int
    raft_term: int
    revision: int
    db_size_bytes: int
    db_in_use_bytes: int = 0
    version: str = ""
    is_learner: bool = False
    errors: tuple[str, ...] = ()
    #: The version whose format the database has, "3.5.0"; "" before 3.6.
    storage_version: str = ""
    #: What the cluster is being taken down to, "" where it is not, or before 3.6.
    downgrade_target: str = ""
    #: At which size of the database the cluster refuses writes; 0 unknown.
    quota_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BinariesReport:
    """One etcd found on the machine, by the version that it reports itself."""

    version: str
    directory: str
    has_etcdctl: bool = True
    has_etcdutl: bool = True


class RestorePhase(Enum):
    """How far a member is with a restore; the values are those of the journal and the wire."""

    PREPARING = "preparing"
    PREPARED = "prepared"
    COMMITTING = "committing"
    ABORTING = "aborting"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRestore:
    """Figures of restored data that waits beside the serving data."""

    revision: int = 0
    keys: int = 0
    leases: int = 0
    db_size_bytes: int = 0
    revision_bumped: bool = False
    marked_compacted: bool = False
    tool: str = ""
    duration_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """A restore under way at a member. `prepared` None: not that far."""

    phase: RestorePhase
    cluster_token: str
    backup_name: str
    prepared: PreparedRestore | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why a member's loop does nothing although something is wanted: a stable code, a sentence, and what to do."""

    code: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Everything about one member that a leader decides on. `etcd` None: it does not answer; `hold` None: all is as wanted."""

    peer_id: str
    info: Info
    manager_version: str = ""
    capabilities: tuple[str, ...] = ()
    disk: DiskReport = field(default_factory=DiskReport)
    process: ProcessReport = field(default_factory=ProcessReport)
    etcd: LiveStatus | None = None
    binaries: tuple[BinariesReport, ...] = ()
    restore: RestoreReport | None = None
    hold: Hold | None = None
    leader_id: str = ""
    leadership_epoch: int = 0
    prepared_token: str = ""
    #: The peer's own clock when it answered; None from peers that do not say.
    now: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareRestoreRequest:
    """What a member is to fetch, verify and restore beside its data. `storage` is a store URL, `nodes` all members-to-be."""

    storage: str
    backup_name: str
    cluster_token: str
    nodes: tuple[EtcdNode, ...]
    etcd_version: str
    bump_revision: int = 0
    mark_compacted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a long piece of work is. `total_bytes` 0: not known yet."""

    stage: str
    done_bytes: int = 0
    total_bytes: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeBackupRequest:
    """A backup of the local member into a store. `reason`: schedule, request, pre-restore, pre-upgrade, membership."""

    storage: str
    info: BackupInfo
    reason: str
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBackup:
    """A backup that is complete in the store: its name and figures."""

    name: str
    size_bytes: int = 0
    db_size_bytes: int = 0
    revision: int = 0
    keys: int = 0
    duration_ms: int = 0
    verified: bool = False
