"""What an etcd-manager was told to be: the frozen configuration of one manager, and the names that kops gives to clusters.

Responsible for values and their derivation only (templates, tables). Reading flags, files and the environment into a
ManagerConfig is `etcdmanager.flags`; nothing here touches the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from types import MappingProxyType

from agents.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """The desired etcd cluster, as the control store holds it."""

    member_count: int
    #: As written ("3.5.16", no leading v); compared as a Version by whoever compares.
    etcd_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdNode:
    """One etcd member's name and URLs. `name` equals the peer id of the manager that runs it."""

    name: str
    peer_urls: tuple[str, ...] = ()
    client_urls: tuple[str, ...] = ()
    quarantined_client_urls: tuple[str, ...] = ()
    tls_enabled: bool = False

    def serving_urls(self, *, quarantined: bool) -> tuple[str, ...]:
        """Return the client URLs at which etcd listens in that mode."""
        return self.quarantined_client_urls if quarantined else self.client_urls


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterNames:
    """What kops calls one etcd cluster, and the ports that it gives to it."""

    kops_name: str
    cluster_name: str
    client_port: int
    peer_port: int
    grpc_port: int
    quarantine_port: int


#: Source: kops pkg/model/components/etcdmanager; any other name is rejected by kops.
KOPS_CLUSTERS: tuple[ClusterNames, ...] = (
    ClusterNames(kops_name="main", cluster_name="etcd", client_port=4001, peer_port=2380, grpc_port=3996, quarantine_port=3994),
    ClusterNames(kops_name="events", cluster_name="etcd-events", client_port=4002, peer_port=2381, grpc_port=3997, quarantine_port=3995),
    ClusterNames(kops_name="cilium", cluster_name="etcd-cilium", client_port=4003, peer_port=2382, grpc_port=3991, quarantine_port=3992),
    ClusterNames(kops_name="leases", cluster_name="etcd-leases", client_port=4004, peer_port=2383, grpc_port=4006, quarantine_port=4005),
)


def cluster_names(name: str) -> ClusterNames:
    """Return the row for a kops name ("main") or a cluster name ("etcd"); SpecError for any other."""
    for row in KOPS_CLUSTERS:
        if name in {row.kops_name, row.cluster_name}:
            return row
    known = ", ".join(row.kops_name for row in KOPS_CLUSTERS)
    raise SpecError(f"etcd cluster {name!r} is none that kops knows; use one of {known}")


def agent_name(cluster_name: str) -> str:
    """Return the name of the unit and the status file: by kops' name of the cluster where it has one."""
    short = next((row.kops_name for row in KOPS_CLUSTERS if row.cluster_name == cluster_name), cluster_name)
    return f"etcd-manager@{short}"


class KeyKind(Enum):
    """Which keys etcd's own certificates get. The CAs' keys are what kops made them (RSA)."""

    RSA = "rsa"
    EC = "ec"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedPeer:
    """A peer that the configuration names: its id and where its manager may answer ("host:port", in no order)."""

    id: str
    endpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticNode:
    """One node of the static configuration; an "ip" may be a host name."""

    id: str
    ips: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticConfig:
    """kops' `--static-config`: the desired version and all nodes, in order. Endpoints use the manager's own gRPC port."""

    etcd_version: str
    nodes: tuple[StaticNode, ...]

    @property
    def cluster_spec(self) -> ClusterSpec:
        """Return the spec that the flag stands for."""
        return ClusterSpec(member_count=len(self.nodes), etcd_version=self.etcd_version)


#: Source of the defaults: the Go program's constants (reference, appendix A).
DEFAULT_BACKUP_INTERVAL = timedelta(minutes=15)
DEFAULT_DISCOVERY_INTERVAL = timedelta(seconds=60)
DEFAULT_HOURLY_RETENTION = timedelta(days=7)
DEFAULT_DAILY_RETENTION = timedelta(days=730)
DEFAULT_CERTIFICATE_LIFETIME = timedelta(days=730)
#: Ours: etcdmanager.leader.upkeep says what they mean.
DEFAULT_HASH_COMPARISON_INTERVAL = timedelta(hours=1)
DEFAULT_DEFRAGMENT_AFTER = timedelta(minutes=2)
DEFAULT_COMPACT_OLDER_THAN = timedelta(minutes=10)

#: What the names of variables begin with that are for the second backup store only.
COPY_STORE = "COPY_STORE_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerConfig:
    """Everything one manager is configured with. Field names are the Go flags' names; ours come last.

    URL fields are templates: `__address__` and `__name__` are replaced by `node()`. An empty `data_dir`, `address` or
    `peer_id` means that it comes from the volume (`volume_file`, a provider) or, for the id, from `<data-dir>/myid`.
    """

    cluster_name: str
    backup_store: str
    backup_interval: timedelta = DEFAULT_BACKUP_INTERVAL
    discovery_poll_interval: timedelta = DEFAULT_DISCOVERY_INTERVAL
    data_dir: str = ""
    address: str = ""
    etcd_address: str = "0.0.0.0"  # noqa: S104  the Go default: etcd's clients are on other nodes, and TLS guards it
    peer_urls: tuple[str, ...] = ("https://__address__:2380",)
    client_urls: tuple[str, ...] = ("https://__address__:4001",)
    quarantine_client_urls: tuple[str, ...] = ("https://__address__:8001",)
    grpc_port: int = 8000
    listen_metrics_urls: tuple[str, ...] = ()
    etcd_manager_metrics_port: int = 0
    pki_dir: str = "/etc/kubernetes/pki/etcd-manager"
    insecure: bool = False
    etcd_insecure: bool = False
    volume_provider: str = ""
    volume_tags: tuple[str, ...] = ()
    volume_name_tag: str = ""
    dns_suffix: str = ""
    network_cidr: str = ""
    static: StaticConfig | None = None
    containerized: bool = False
    verbosity: int = 0
    hourly_retention: timedelta = DEFAULT_HOURLY_RETENTION
    daily_retention: timedelta = DEFAULT_DAILY_RETENTION
    certificate_lifetime: timedelta = DEFAULT_CERTIFICATE_LIFETIME
    #: Re-issue when less than this is left. The Go default (20 years) means "always"; ours re-uses what still answers.
    certificate_renew_before: timedelta = DEFAULT_CERTIFICATE_LIFETIME / 3
    #: `ETCD_*` variables that etcd inherits (without the ETCD_MANAGER_* tunables); frozen.
    etcd_environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: The other variables of `--env-file`, for store SDKs; they are not written into os.environ by us.
    environment: Mapping[str, str] = field(repr=False, default_factory=lambda: MappingProxyType({}))
    # From here on: what the Go program does not have.
    peer_id: str = ""
    seeds: tuple[SeedPeer, ...] = ()
    discovery_dir: str = ""
    #: Directories that hold `etcd-v<version>/` or directly etcd, etcdctl and etcdutl; searched before the Go places.
    binaries: tuple[str, ...] = ()
    #: etcd's output; "" is `<data-dir>/etcd.log`.
    etcd_log_file: str = ""
    #: The JSON file in which protokube publishes the mounted, verified volume; "" is none.
    volume_file: str = ""
    key_kind: KeyKind = KeyKind.RSA
    #: Where the agent's status is written; "" is the default of agents.status.
    status_file: str = ""
    #: Whether the leader compacts where etcd has reached its quota and takes no writes.
    compact_on_nospace: bool = True
    #: How often the members' keys are compared (HashKV).
    hash_comparison_interval: timedelta = DEFAULT_HASH_COMPARISON_INTERVAL
    #: How long a new leader waits before it defragments anybody.
    defragment_after: timedelta = DEFAULT_DEFRAGMENT_AFTER
    #: How old a revision must be before the leader compacts it.
    compact_older_than: timedelta = DEFAULT_COMPACT_OLDER_THAN
    #: How the Go managers' slowness is chosen: True never uses the fast timers, even among our own.
    compatible_timers: bool = False
    #: Whether a Go leader may not stop a serving etcd while no restore is queued.
    veto_go_leaders: bool = True
    #: Keep full backups only.
    no_deltas: bool = False
    #: A second backup store, which the leading manager copies to; "" is none.
    backup_copy_store: str = ""
    #: What is kept there; None is as long as in the first.
    copy_hourly_retention: timedelta | None = None
    copy_daily_retention: timedelta | None = None
    #: Where backups are kept while the store is away; "" is `<data-dir>/backup-spool`, "none" keeps none.
    backup_spool: str = ""
    #: The keys that backups are encrypted with; "" leaves them readable for everybody who can read the store, Go's programs among them.
    backup_encryption_key_file: str = ""

    @property
    def copy_environment(self) -> Mapping[str, str]:
        """Return the environment for the second store: COPY_STORE_X stands in for X, for example with credentials of another account."""
        own = {name.removeprefix(COPY_STORE): value for name, value in self.environment.items() if name.startswith(COPY_STORE)}
        return MappingProxyType({**self.environment, **own})

    def node(self, *, peer_id: str, address: str) -> EtcdNode:
        """Return our own etcd node: the templates with this id and address put in; TLS is recorded by whoever creates clusters."""
        scheme = "http" if self.etcd_insecure else ""
        return EtcdNode(
            name=peer_id,
            peer_urls=self._expand(self.peer_urls, peer_id, address, scheme),
            client_urls=self._expand(self.client_urls, peer_id, address, scheme),
            quarantined_client_urls=self._expand(self.quarantine_client_urls, peer_id, address, scheme),
        )

    def metrics_urls(self, *, peer_id: str, address: str) -> tuple[str, ...]:
        """Return etcd's metrics listeners with this id and address put in."""
        return self._expand(self.listen_metrics_urls, peer_id, address, "")

    def seed_peers(self) -> tuple[SeedPeer, ...]:
        """Return the peers that flags name, from `--static-config` and `--peers`, each id once."""
        static = self.static.nodes if self.static else ()
        named = {node.id: SeedPeer(id=node.id, endpoints=tuple(endpoint(ip, self.grpc_port) for ip in node.ips)) for node in static}
        for seed in self.seeds:
            named[seed.id] = seed
        return tuple(named[peer_id] for peer_id in sorted(named))

    def _expand(self, templates: tuple[str, ...], peer_id: str, address: str, scheme: str) -> tuple[str, ...]:
        urls = tuple(expand(template, name=host_name(peer_id, self.dns_suffix), address=address) for template in templates)
        return tuple(with_scheme(url, scheme) for url in urls) if scheme else urls


def expand(template: str, *, name: str, address: str) -> str:
    """Replace `__name__` and `__address__`; an IPv6 address is put into brackets."""
    return template.replace("__address__", bracketed(address)).replace("__name__", name)


def host_name(peer_id: str, dns_suffix: str) -> str:
    """Return the DNS name of a member: its id, with the cluster's suffix if there is one."""
    suffix = dns_suffix.lstrip(".")
    return f"{peer_id}.{suffix}" if suffix else peer_id


def with_scheme(url: str, scheme: str) -> str:
    """Return `url` with its scheme replaced; SpecError if it has none."""
    _, separator, rest = url.partition("://")
    if not separator:
        raise SpecError(f"{url!r} is no URL: it has no scheme; write https://HOST:PORT")
    return f"{scheme}://{rest}"


def bracketed(host: str) -> str:
    """Return `host` as it stands in a URL or endpoint: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def endpoint(host: str, port: int) -> str:
    """Return "host:port"; IPv6 addresses get brackets."""
    return f"{bracketed(host)}:{port}"
