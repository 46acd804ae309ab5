"""The command line and environment that one etcd is started with. Pure.

etcd gets no flags, only an environment: what we computed, and the `ETCD_*` variables that the operator set, which win,
except where they would change who the member is, or, in quarantine, open a listener that lets clients in (B-28).
Source: reference, sections 5.5 and 5.6.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from agents.documents import dump_json
from agents.errors import SpecError
from agents.versions import Version
from etcdmanager.etcd.features import hash_checks, translated
from etcdmanager.peering.messages import EtcdState
from etcdmanager.spec import EtcdNode, bracketed

#: etcd's largest recommended size; its default of 2 GiB is what clusters of kops run into first.
DEFAULT_QUOTA_BYTES = 8 * 1024**3

#: What no inherited variable may say: who the member is and where its data lies. FORCE_NEW_CLUSTER would discard the other members.
_OURS = frozenset(
    {
        "ETCD_DATA_DIR",
        "ETCD_WAL_DIR",
        "ETCD_NAME",
        "ETCD_INITIAL_CLUSTER",
        "ETCD_INITIAL_CLUSTER_STATE",
        "ETCD_INITIAL_CLUSTER_TOKEN",
        "ETCD_INITIAL_ADVERTISE_PEER_URLS",
        "ETCD_FORCE_NEW_CLUSTER",
        "ETCD_CONFIG_FILE",
        "ETCD_DISCOVERY",
        "ETCD_DISCOVERY_SRV",
    }
)
#: Whatever opens a listener or announces one, by any name that a version of etcd gives it.
_LISTENER = re.compile(r"ETCD_(EXPERIMENTAL_)?(LISTEN_.*|ADVERTISE_CLIENT_URLS|ENABLE_PPROF|.*_PROXY.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The files of one side of etcd's TLS; clients (or peers) must show a certificate of `trusted`."""

    trusted: str
    certificate: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdSettings:
    """What the command line is made from. `node` holds our client URLs from the flags and our peer URLs from the state."""

    name: str
    node: EtcdNode
    state: EtcdState
    version: Version
    data_dir: str
    listen_host: str
    metrics_urls: tuple[str, ...] = ()
    peer_tls: TlsFiles | None = None
    client_tls: TlsFiles | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdCommand:
    """How to start etcd: its whole environment, and a digest of the settings for which a running etcd must be restarted."""

    environment: Mapping[str, str]
    settings: str


def etcd_command(settings: EtcdSettings, inherited: Mapping[str, str]) -> EtcdCommand:
    """Return how to start etcd. `inherited` are the operator's `ETCD_*` variables; SpecError for a state without a cluster.

    The hash check at start asks the peers before it serves them: members of a restored cluster, which all start at once,
    would wait 7 s for each other (measured). Their data was verified and counted a moment ago, so it is left out once.
    """
    computed = _computed(settings)
    allowed = translated(_allowed(inherited, quarantined=settings.state.quarantined), settings.version)
    checks = {} if settings.state.restored else hash_checks(settings.version, allowed)
    environment = {**computed, **allowed, **checks}
    return EtcdCommand(environment=environment, settings=settings_digest(settings))


def settings_digest(settings: EtcdSettings) -> str:
    """Return the digest of what etcd must be restarted for: identity, version, URLs, quarantine, TLS on or off.

    The version is the one asked for. Tuning variables and the patch that really runs are not in it: a changed manager
    environment or a new image must not restart every member at once; both apply at the next start.
    """
    facts = {
        "name": settings.name,
        "token": settings.state.cluster.token if settings.state.cluster else "",
        "version": settings.state.etcd_version,
        "quarantined": settings.state.quarantined,
        "listen": settings.listen_host,
        "peerUrls": list(settings.node.peer_urls),
        "clientUrls": list(settings.node.serving_urls(quarantined=settings.state.quarantined)),
        "peerTls": settings.peer_tls is not None,
        "clientTls": settings.client_tls is not None,
    }
    return hashlib.sha256(dump_json(facts).encode()).hexdigest()[:16]


def quota_bytes(inherited: Mapping[str, str]) -> int:
    """Return at which size etcd refuses writes, as the operator's variables have it; 0 where theirs is no positive number."""
    text = inherited.get("ETCD_QUOTA_BACKEND_BYTES", "") or str(DEFAULT_QUOTA_BYTES)
    return int(text) if text.isdecimal() else 0


def initial_cluster(nodes: Iterable[EtcdNode]) -> str:
    """Return etcd's `name=url,name=url`, every URL with its name (the Go program leaves bare extra URLs)."""
    return ",".join(f"{node.name}={url}" for node in nodes for url in node.peer_urls)


def with_host(url: str, host: str) -> str:
    """Return `url` with its host replaced and its port kept; SpecError where there is no port."""
    parts = urlsplit(url)
    if parts.port is None:
        raise SpecError(f"etcd URL {url!r} has no port; write scheme://host:port")
    return f"{parts.scheme}://{bracketed(host)}:{parts.port}"


def _computed(settings: EtcdSettings) -> dict[str, str]:
    state, node = settings.state, settings.node
    if state.cluster is None:
        raise SpecError("the state has no cluster: there is no etcd to start")
    client_urls = node.serving_urls(quarantined=state.quarantined)
    environment = {
        "ETCD_DATA_DIR": settings.data_dir,
        "ETCD_NAME": settings.name,
        "ETCD_LOGGER": "zap",
        "ETCD_LOG_OUTPUTS": "stdout",
        "ETCD_LISTEN_PEER_URLS": _listen(node.peer_urls, settings.listen_host),
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": ",".join(node.peer_urls),
        "ETCD_LISTEN_CLIENT_URLS": _listen(client_urls, settings.listen_host),
        "ETCD_ADVERTISE_CLIENT_URLS": ",".join(client_urls),
        "ETCD_INITIAL_CLUSTER_STATE": "new" if state.new_cluster else "existing",
        "ETCD_INITIAL_CLUSTER_TOKEN": state.cluster.token,
        "ETCD_INITIAL_CLUSTER": initial_cluster(state.cluster.nodes),
        "ETCD_STRICT_RECONFIG_CHECK": "true",
        "ETCD_QUOTA_BACKEND_BYTES": str(DEFAULT_QUOTA_BYTES),
    }
    if settings.metrics_urls and not state.quarantined:
        environment["ETCD_LISTEN_METRICS_URLS"] = ",".join(settings.metrics_urls)
    return {**environment, **_tls("ETCD_PEER_", settings.peer_tls), **_tls("ETCD_", settings.client_tls)}


def _tls(prefix: str, files: TlsFiles | None) -> dict[str, str]:
    if files is None:
        return {}
    return {
        f"{prefix}CLIENT_CERT_AUTH": "true",
        f"{prefix}TRUSTED_CA_FILE": files.trusted,
        f"{prefix}CERT_FILE": files.certificate,
        f"{prefix}KEY_FILE": files.key,
    }


def _allowed(inherited: Mapping[str, str], *, quarantined: bool) -> dict[str, str]:
    return {
        name: value
        for name, value in inherited.items()
        if name.startswith("ETCD_")
        and not name.startswith("ETCD_MANAGER_")
        and name not in _OURS
        and value
        and not (quarantined and _LISTENER.fullmatch(name))
    }


def _listen(urls: tuple[str, ...], host: str) -> str:
    return ",".join(dict.fromkeys(with_host(url, host) for url in urls))
