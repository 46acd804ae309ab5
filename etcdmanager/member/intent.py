"""The journal of a restore at one member: `<data-dir>/restore-intent.json`. It says how far the swap may go on after a crash.

    (none) --prepare--> preparing --restored, fsynced--> prepared --commit--> committing --swapped--> (none)
                            |                                |
                            '--crash, or abort--> aborting <-'            committing is the point of no return

What each phase permits is decided in `etcdmanager.member.step`; this file only keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agents.documents import as_bool, as_int, as_list, as_mapping, as_str, dump_json, load_json
from agents.errors import NotFoundError, SpecError
from agents.host.protocol import Host
from etcdmanager.member.layout import Layout
from etcdmanager.peering.messages import EtcdCluster, PreparedRestore, RestorePhase
from etcdmanager.spec import EtcdNode


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreIntent:
    """What a restore at this member is about. `prepared` None: not yet prepared."""

    phase: RestorePhase
    cluster: EtcdCluster
    etcd_version: str
    storage: str
    backup_name: str
    prepared: PreparedRestore | None = None

    @property
    def token(self) -> str:
        """The token of the cluster that will be."""
        return self.cluster.token

    def at(self, phase: RestorePhase) -> RestoreIntent:
        """Return the same intent in another phase."""
        return replace(self, phase=phase)


class IntentFile:
    """The one reader and writer of the journal."""

    def __init__(self, host: Host, layout: Layout) -> None:
        self._host = host
        self._path = layout.intent

    def read(self) -> RestoreIntent | None:
        """Return the journal, None where no restore is under way; SpecError where it cannot be read."""
        try:
            content = self._host.read(self._path)
        except NotFoundError:
            return None
        return decode(content, where=self._path)

    def write(self, intent: RestoreIntent) -> None:
        """Journal `intent` durably."""
        self._host.write(self._path, encode(intent), mode=0o600)

    def remove(self) -> None:
        """Forget it: the restore is done or undone."""
        self._host.remove(self._path)


def encode(intent: RestoreIntent) -> bytes:
    """Return the journal's bytes."""
    document: dict[str, object] = {
        "phase": intent.phase.value,
        "clusterToken": intent.cluster.token,
        "nodes": [_node_document(node) for node in intent.cluster.nodes],
        "etcdVersion": intent.etcd_version,
        "storage": intent.storage,
        "backupName": intent.backup_name,
    }
    if intent.prepared is not None:
        document["prepared"] = {
            "revision": intent.prepared.revision,
            "keys": intent.prepared.keys,
            "leases": intent.prepared.leases,
            "dbSizeBytes": intent.prepared.db_size_bytes,
            "revisionBumped": intent.prepared.revision_bumped,
            "markedCompacted": intent.prepared.marked_compacted,
            "tool": intent.prepared.tool,
            "durationMs": intent.prepared.duration_ms,
        }
    return (dump_json(document) + "\n").encode()


def decode(content: bytes, *, where: str) -> RestoreIntent:
    """Return the journal that bytes hold; SpecError says what is wrong with them."""
    document = as_mapping(load_json(content, where=where), where=where)

    def text(name: str) -> str:
        return as_str(document.get(name), where=f"{where}: {name}")

    phase = text("phase")
    if phase not in {known.value for known in RestorePhase}:
        raise SpecError(f"{where}: unknown phase {phase!r}")
    nodes = tuple(_node(item, where) for item in as_list(document.get("nodes"), where=f"{where}: nodes"))
    prepared = document.get("prepared")
    return RestoreIntent(
        phase=RestorePhase(phase),
        cluster=EtcdCluster(token=text("clusterToken"), nodes=nodes),
        etcd_version=text("etcdVersion"),
        storage=text("storage"),
        backup_name=text("backupName"),
        prepared=None if prepared is None else _prepared(prepared, where),
    )


def _node_document(node: EtcdNode) -> dict[str, object]:
    return {
        "name": node.name,
        "peerUrls": list(node.peer_urls),
        "clientUrls": list(node.client_urls),
        "quarantinedClientUrls": list(node.quarantined_client_urls),
        "tlsEnabled": node.tls_enabled,
    }


def _node(item: object, where: str) -> EtcdNode:
    document = as_mapping(item, where=f"{where}: nodes")

    def urls(name: str) -> tuple[str, ...]:
        return tuple(as_str(url, where=f"{where}: {name}") for url in as_list(document.get(name), where=f"{where}: {name}"))

    return EtcdNode(
        name=as_str(document.get("name"), where=f"{where}: name"),
        peer_urls=urls("peerUrls"),
        client_urls=urls("clientUrls"),
        quarantined_client_urls=urls("quarantinedClientUrls"),
        tls_enabled=as_bool(document.get("tlsEnabled"), where=f"{where}: tlsEnabled"),
    )


def _prepared(item: object, where: str) -> PreparedRestore:
    document = as_mapping(item, where=f"{where}: prepared")

    def number(name: str) -> int:
        return as_int(document.get(name), where=f"{where}: prepared.{name}")

    return PreparedRestore(
        revision=number("revision"),
        keys=number("keys"),
        leases=number("leases"),
        db_size_bytes=number("dbSizeBytes"),
        revision_bumped=as_bool(document.get("revisionBumped"), where=f"{where}: prepared.revisionBumped"),
        marked_compacted=as_bool(document.get("markedCompacted"), where=f"{where}: prepared.markedCompacted"),
        tool=as_str(document.get("tool"), where=f"{where}: prepared.tool"),
        duration_ms=number("durationMs"),
    )
