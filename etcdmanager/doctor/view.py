"""What the doctor sees at one moment: plain values, each of which may be Unknown, because half of it may be broken. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from agents.diagnosis import NOT_LOOKED_AT, Observed
from etcdmanager.backups.freshness import Verdict
from etcdmanager.commands.cluster_status import ClusterReport
from etcdmanager.control.store import ControlView
from etcdmanager.leadership.claim import LockRecord
from etcdmanager.spec import ClusterSpec


class Marker(Enum):
    """Whether `etcd-cluster-created` is there."""

    PRESENT = "present"
    MISSING = "missing"
    #: Somebody broke it.
    EMPTY = "empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeStep:
    """One thing tried with an object of our own in the store: "write", "read", "list", "delete"; `error` is "" where it worked."""

    name: str
    error: str = ""
    #: Whether it is permission that is missing.
    denied: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LastDrill:
    """The newest restore exercise."""

    at: datetime
    backup: str
    #: "" where the backup was good.
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreView:
    """The backup store and the control store inside it."""

    url: str = ""
    #: Empty where nobody wanted it tried.
    probe: Observed[tuple[ProbeStep, ...]] = NOT_LOOKED_AT
    #: How far this machine's clock, and that of the manager that told the status, are ahead of the store's; to a second.
    clock_ahead: Observed[timedelta] = NOT_LOOKED_AT
    teller_ahead: Observed[timedelta] = NOT_LOOKED_AT
    spec: Observed[ClusterSpec | None] = NOT_LOOKED_AT
    marker: Observed[Marker] = NOT_LOOKED_AT
    lock: Observed[LockRecord | None] = NOT_LOOKED_AT
    report: Observed[ClusterReport] = NOT_LOOKED_AT
    control: Observed[ControlView] = NOT_LOOKED_AT
    backups: Observed[Verdict] = NOT_LOOKED_AT
    #: When somebody took the leadership, in the last hour.
    leaderships: Observed[tuple[datetime, ...]] = NOT_LOOKED_AT
    drill: Observed[LastDrill | None] = NOT_LOOKED_AT


@dataclass(frozen=True, slots=True, kw_only=True)
class Filesystem:
    """The file system that holds etcd's data."""

    mount_point: str
    device: str
    read_only: bool
    size_bytes: int
    free_bytes: int
    #: 0 where the file system has no fixed number of them.
    inodes: int
    free_inodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeProblem:
    """Why this manager does not know where its data is, in the words of whoever refused it."""

    code: str
    text: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSeen:
    """One certificate of etcd or its manager on this machine."""

    path: str
    #: "ca", "etcd" or "manager".
    role: str
    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...] = ()
    #: Names that it should hold and does not.
    missing_names: tuple[str, ...] = ()
    #: Whether its CA, as it lies in the pki directory, signed it; None where that is not known.
    is_of_its_ca: bool | None = None
    #: Whether the key beside it is its own; None where there is no key.
    has_own_key: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSeen:
    """What systemd says of `etcd-manager@<etcd>.service`."""

    active: str
    sub: str
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSeen:
    """What this node's manager says of itself."""

    updated: datetime | None
    state: str
    message: str
    restarts: int
    last_exit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpeed:
    """How long etcd waits for its disk, in seconds, below which 99 of 100 waits lie; None before the first."""

    fsync_p99: float | None
    commit_p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    """This machine, where it is a control-plane node."""

    #: None: the data directory is where it should be.
    volume: Observed[VolumeProblem | None] = NOT_LOOKED_AT
    filesystem: Observed[Filesystem] = NOT_LOOKED_AT
    data_dir: Observed[str] = NOT_LOOKED_AT
    #: Permission bits of the data directory.
    data_mode: Observed[int] = NOT_LOOKED_AT
    #: Why the state file cannot be used; "" where it can.
    state: Observed[str] = NOT_LOOKED_AT
    certificates: Observed[tuple[CertificateSeen, ...]] = NOT_LOOKED_AT
    #: Files that should hold one and do not: "path: why".
    damaged_certificates: Observed[tuple[str, ...]] = NOT_LOOKED_AT
    #: The versions of etcd that are installed.
    etcds: Observed[tuple[str, ...]] = NOT_LOOKED_AT
    unit: Observed[UnitSeen] = NOT_LOOKED_AT
    #: None where it never wrote one since boot.
    status: Observed[StatusSeen | None] = NOT_LOOKED_AT
    #: Names of members that /etc/hosts has wrongly or not at all: "etcd-b.x: has 10.0.0.5, answers at 10.0.0.9".
    stale_hosts: Observed[tuple[str, ...]] = NOT_LOOKED_AT
    #: Whether the kernel's clock is kept by someone.
    is_synchronized: Observed[bool] = NOT_LOOKED_AT
    speed: Observed[DiskSpeed] = NOT_LOOKED_AT


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorView:
    """Everything."""

    now: datetime
    etcd: str
    store: StoreView = field(default_factory=StoreView)
    node: NodeSeen = field(default_factory=NodeSeen)

    @property
    def on_node(self) -> bool:
        """Return whether this machine is a control-plane node of the cluster."""
        return self.node.volume is not NOT_LOOKED_AT
