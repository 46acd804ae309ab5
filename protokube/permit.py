"""An operator's permission to format a blank volume although its etcd cluster had data: one file, for one volume, used up once.

It lies in /run, so that it does not outlive the boot in which it was given.
"""

from __future__ import annotations

from datetime import datetime

from agents.documents import as_mapping, dump_json, load_json
from agents.errors import NotFoundError, SpecError
from agents.host.protocol import Host
from agents.timestamps import format_timestamp

DIRECTORY = "/run/node-agents/permits"


def _path(etcd_cluster: str) -> str:
    return f"{DIRECTORY}/format-{etcd_cluster}.json"


def give_permit(host: Host, *, cluster_name: str, etcd_cluster: str, reason: str, now: datetime) -> None:
    """Permit it."""
    document = {"clusterName": cluster_name, "etcdCluster": etcd_cluster, "reason": reason, "given": format_timestamp(now)}
    host.write(_path(etcd_cluster), dump_json(document).encode(), mode=0o600)


def is_permitted(host: Host, *, cluster_name: str, etcd_cluster: str) -> bool:
    """Return whether there is a permission for this volume; a damaged one is none."""
    path = _path(etcd_cluster)
    try:
        document = as_mapping(load_json(host.read(path), where=path), where=path)
    except (NotFoundError, SpecError):
        return False
    return (document.get("clusterName"), document.get("etcdCluster")) == (cluster_name, etcd_cluster)


def use_up(host: Host, etcd_cluster: str) -> None:
    """Take the permission away, before it is used: one that was given for one volume must not format the next."""
    host.remove(_path(etcd_cluster))
