"""The youngest report of a cluster: on a control-plane node whose manager leads, its own word, a second old; else what the store has.

With the store away, the local manager's word is all there is, and it is enough for `status`.
"""

from __future__ import annotations

from dataclasses import replace

from agents.diagnosis import Unknown, attempt
from agents.errors import AccessError, TransientError
from agents.host.local import LocalHost
from agents.status import status_path
from agents.stores.url import open_store
from etcdmanager.commands.cluster_status import ClusterReport, parse_report, read_report
from etcdmanager.commands.node_config import node_config
from etcdmanager.commands.target import Target
from etcdmanager.spec import ManagerConfig, agent_name

_WITHIN_SECONDS = 1.0
_AT_MOST_BYTES = 4 << 20


def nearest_report(target: Target, *, config_path: str = "") -> ClusterReport:
    """Return the report; errors as of `read_report`, unless the store is away and this node's manager leads."""
    local = _local(target, config_path)
    try:
        stored = read_report(target.store, target.etcd)
    except (TransientError, AccessError):
        if local is None:
            raise
        return local
    if local is None or local.told_at is None or (stored.told_at is not None and stored.told_at >= local.told_at):
        return stored
    return replace(local, created=stored.created, leader=stored.leader or local.leader, pause=stored.pause)


def _local(target: Target, config_path: str) -> ClusterReport | None:
    """Return what this node's manager says of the cluster; None where it does not lead, or this is another cluster's node."""
    config = attempt(lambda: node_config(target.etcd, path=config_path))
    if config is None or isinstance(config, Unknown):
        return None
    if open_store(config.backup_store, environment=config.environment).url != target.store.url:
        return None
    where = f"the status of {agent_name(config.cluster_name)}"
    found = attempt(lambda: parse_report(_content(config), where=where, etcd=target.etcd, created=True, leader=""))
    if isinstance(found, Unknown) or not found.cluster:
        return None
    return replace(found, leader=found.told_by)


def _content(config: ManagerConfig) -> bytes:
    """Return the local manager's status: over HTTP where it listens, else its file, which is up to ten seconds old."""
    if config.etcd_manager_metrics_port:
        import urllib.request  # 20 ms that most calls need not pay

        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://127.0.0.1:{config.etcd_manager_metrics_port}/status", timeout=_WITHIN_SECONDS) as answer:
                content: bytes = answer.read(_AT_MOST_BYTES)
        except (OSError, ValueError):  # URLError is an OSError
            pass
        else:
            return content
    return LocalHost().read(config.status_file or status_path(agent_name(config.cluster_name)))
