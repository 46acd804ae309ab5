"""What the doctor sees of a machine at one moment: plain values, each of which may be Unknown, because half of it may be broken. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from agents.diagnosis import NOT_LOOKED_AT, Observed


class Area(Enum):
    """What a rule is about; the values are what --json says. Five of them can be asked for alone (--disk, --time, …)."""

    DISK = "disk"
    TIME = "time"
    NETWORK = "network"
    CLOUD = "cloud"
    REGISTRY = "registry"
    MACHINE = "machine"
    CONFIGURATION = "configuration"
    CERTIFICATES = "certificates"
    SERVICES = "services"
    LOGS = "logs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filesystem:
    """A mounted file system that we write to, as df shows it."""

    mount_point: str
    size_bytes: int
    available_bytes: int
    #: 0 where the file system has no fixed number of them (btrfs).
    inodes: int
    available_inodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskView:
    """Space, and whether it can be written."""

    filesystems: Observed[tuple[Filesystem, ...]] = NOT_LOOKED_AT
    #: Directories that nodeup writes to and that lie on a file system mounted read-only.
    read_only: Observed[tuple[str, ...]] = NOT_LOOKED_AT


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSample:
    """How far a server's clock was ahead of ours when it answered."""

    server: str
    ahead: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeView:
    """The machine's clock."""

    samples: Observed[tuple[ClockSample, ...]] = NOT_LOOKED_AT
    #: What systemd says: whether the kernel's clock is kept by someone.
    is_synchronized: Observed[bool] = NOT_LOOKED_AT


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A host name that this node needs, with the addresses that it has; none where it does not resolve."""

    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server that this node needs."""

    #: "kops-controller", "the API server", "the state store", "the registry of the sandbox image".
    purpose: str
    #: "host:port", or a URL.
    address: str
    #: Why it cannot be used; "" where it can.
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkView:
    """Names, routes, and the servers of the cluster."""

    names: Observed[tuple[Name, ...]] = NOT_LOOKED_AT
    #: Names in /etc/hosts whose only address there is kops' placeholder.
    placeholders_in_hosts: Observed[tuple[str, ...]] = NOT_LOOKED_AT
    has_default_route: Observed[bool] = NOT_LOOKED_AT
    endpoints: Observed[tuple[Endpoint, ...]] = NOT_LOOKED_AT


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudView:
    """The metadata service."""

    cloud: Observed[str] = NOT_LOOKED_AT
    #: Who it says that this machine is; "" where it has no such notion.
    identity: Observed[str] = NOT_LOOKED_AT
    #: Who it said so at the last apply; "" where none is remembered.
    remembered_identity: Observed[str] = NOT_LOOKED_AT


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryView:
    """Where the sandbox image, which every pod needs, comes from."""

    endpoints: Observed[tuple[Endpoint, ...]] = NOT_LOOKED_AT


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program of ours and what its ELF header says it is for, in Go's words ("amd64"); "" for what is no ELF file."""

    path: str
    architecture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A kernel parameter that is not as our own file says."""

    name: str
    wanted: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineView:
    """The operating system below the node."""

    architecture: Observed[str] = NOT_LOOKED_AT
    programs: Observed[tuple[Program, ...]] = NOT_LOOKED_AT
    #: What `dpkg --audit` says; "" where all packages are whole.
    dpkg_audit: Observed[str] = NOT_LOOKED_AT
    #: 1 or 2.
    cgroup_version: Observed[int] = NOT_LOOKED_AT
    #: Of kubelet.conf; "" where it says nothing.
    kubelet_cgroup_driver: Observed[str] = NOT_LOOKED_AT
    #: SystemdCgroup of containerd's runc; None where its configuration says nothing.
    containerd_uses_systemd_cgroup: Observed[bool | None] = NOT_LOOKED_AT
    #: Devices or files that are swapped to.
    swaps: Observed[tuple[str, ...]] = NOT_LOOKED_AT
    #: Of kubelet.conf; None: kubelet's default, true.
    fail_swap_on: Observed[bool | None] = NOT_LOOKED_AT
    missing_modules: Observed[tuple[str, ...]] = NOT_LOOKED_AT
    wrong_settings: Observed[tuple[Setting, ...]] = NOT_LOOKED_AT


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationView:
    """What the node was told to be."""

    #: Why the boot configuration cannot be used; "" where it can.
    boot_problem: Observed[str] = NOT_LOOKED_AT
    #: Where the state store is; its `problem` says why it cannot be read. None for a node that asks kops-controller.
    store: Observed[Endpoint | None] = NOT_LOOKED_AT
    #: Hash that user data names, and the hash of what the store has; equal or "" where there is nothing to compare.
    wanted_hash: Observed[str] = NOT_LOOKED_AT
    stored_hash: Observed[str] = NOT_LOOKED_AT
    #: Actions of a run of nodeup that did not end.
    pending: Observed[tuple[str, ...]] = NOT_LOOKED_AT
    #: What the file says that holds nodeup back; "" where there is none.
    hold: Observed[str] = NOT_LOOKED_AT


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFile:
    """A certificate on the machine."""

    path: str
    not_after: datetime
    #: When nodeup renews it.
    renew_at: datetime
    #: Whether the cluster's CA signed it; None where that is not known, or another CA is right.
    is_of_cluster_ca: bool | None = None
    #: Whether the key beside it is its own; None where there is none.
    has_own_key: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatesView:
    """The certificates on the machine."""

    files: Observed[tuple[CertificateFile, ...]] = NOT_LOOKED_AT
    #: "path: what is wrong" of files that hold no certificate that can be read.
    unreadable: Observed[tuple[str, ...]] = NOT_LOOKED_AT


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitState:
    """What systemd says of a unit."""

    name: str
    load: str
    active: str
    sub: str
    result: str
    restarts: int = 0
    #: The last line of its journal, where it is not well.
    last_line: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who listens on one of our ports; `process` is "" where that is not shown."""

    port: int
    process: str
    #: The unit that it is of, whatever the process calls itself; "" for a pod's, and where that cannot be seen.
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition of the Node object."""

    kind: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicesView:
    """The daemons."""

    #: What nodeup is doing, in one word ("done", "waiting", "failed", "died"); "" where it never ran.
    nodeup_state: Observed[str] = NOT_LOOKED_AT
    nodeup_message: Observed[str] = NOT_LOOKED_AT
    nodeup_hint: Observed[str] = NOT_LOOKED_AT
    units: Observed[tuple[UnitState, ...]] = NOT_LOOKED_AT
    has_containerd_socket: Observed[bool] = NOT_LOOKED_AT
    #: Why kubelet's own health check is not ok; "" where it is.
    kubelet_health: Observed[str] = NOT_LOOKED_AT
    listeners: Observed[tuple[Listener, ...]] = NOT_LOOKED_AT
    conditions: Observed[tuple[Condition, ...]] = NOT_LOOKED_AT


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line of a journal."""

    unit: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsView:
    """The last minutes of the journals of this boot, oldest first."""

    lines: Observed[tuple[LogLine, ...]] = NOT_LOOKED_AT


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """All of it."""

    now: datetime
    disk: DiskView = field(default_factory=DiskView)
    time: TimeView = field(default_factory=TimeView)
    network: NetworkView = field(default_factory=NetworkView)
    cloud: CloudView = field(default_factory=CloudView)
    registry: RegistryView = field(default_factory=RegistryView)
    machine: MachineView = field(default_factory=MachineView)
    configuration: ConfigurationView = field(default_factory=ConfigurationView)
    certificates: CertificatesView = field(default_factory=CertificatesView)
    services: ServicesView = field(default_factory=ServicesView)
    logs: LogsView = field(default_factory=LogsView)
