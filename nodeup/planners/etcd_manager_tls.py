"""The certificate authorities that an etcd-manager issues its own certificates with, one directory a cluster."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.planners.keys import bundle_file, private_key_file
from nodeup.resources.kinds import AnyResource

#: Clusters that kube-apiserver is a client of, with one certificate for all of them.
_API_SERVER_CLUSTERS = ("main", "events", "leases")


def plan_etcd_manager_tls(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the CA pairs of every etcd cluster with a member on this node."""
    if not context.is_control_plane:
        return
    for cluster in context.spec.config.texts("EtcdClusterNames"):
        directory = pki_directory(cluster)
        clients_ca = "etcd-clients-ca" if cluster in _API_SERVER_CLUSTERS else f"etcd-clients-ca-{cluster}"
        for name, keyset in (
            ("etcd-manager-ca", f"etcd-manager-ca-{cluster}"),
            ("etcd-peers-ca", f"etcd-peers-ca-{cluster}"),
            ("etcd-clients-ca", clients_ca),
        ):
            yield private_key_file(context, keyset, f"{directory}/{name}.key")
            yield bundle_file(context, keyset, f"{directory}/{name}.crt")


def pki_directory(cluster: str) -> str:
    """Return the directory of an etcd cluster's CA pairs."""
    return f"/etc/kubernetes/pki/etcd-manager-{cluster}"
