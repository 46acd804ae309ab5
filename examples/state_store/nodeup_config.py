"""What nodeup reads on a machine: its configuration (nodeupconfig.yaml), and the boot configuration (kube_env.yaml) that leads to it.

Source: real stores that kops wrote; reference nodeup.md 1.3, 1.5 and 1.6.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from agents.documents import dump_yaml
from agents.pki.keyset import Keyset
from examples.state_store import components
from examples.state_store.assets import ARCHITECTURES
from examples.state_store.cluster import ETCD_CLUSTERS, Cluster, InstanceGroup
from examples.state_store.keysets import service_account_public_keys

SCHEDULER_CONFIG = """\
apiVersion: kubescheduler.config.k8s.io/v1
clientConnection:
  kubeconfig: /var/lib/kube-scheduler/kubeconfig
kind: KubeSchedulerConfiguration
"""


def nodeup_config(cluster: Cluster, group: InstanceGroup, keysets: Mapping[str, Keyset]) -> dict[str, object]:
    """Return the configuration of the machines of a group."""
    networking: dict[str, object] = {"nonMasqueradeCIDR": components.NON_MASQUERADE_CIDR, "serviceClusterIPRange": components.SERVICE_CIDR}
    if cluster.cloud == "aws":
        networking["kindnet"] = {}
    shared: dict[str, object] = {
        "Assets": {
            architecture: [str(asset) for asset in cluster.assets if asset.architecture == architecture]
            for architecture in ARCHITECTURES
            if any(asset.architecture == architecture for asset in cluster.assets)
        },
        "CAs": {},
        "ClusterName": cluster.name,
        "Hooks": [None, None],
        "InstallCNIAssets": True,
        "KeypairIDs": {"kubernetes-ca": keysets["kubernetes-ca"].primary.id},
        "KubeProxy": components.kube_proxy(cluster),
        "KubeletConfig": components.kubelet_of_group(cluster, group),
        "KubernetesVersion": str(cluster.kubernetes_version),
        "Networking": networking,
        "UpdatePolicy": "automatic",
        "containerdConfig": components.containerd(cluster),
        "usesNoneDNS": True,
    }
    return shared | _control_plane(cluster, group, keysets) if group.role == "ControlPlane" else shared


def boot_config(cluster: Cluster, group: InstanceGroup, keysets: Mapping[str, Keyset], nodeup_config_content: bytes) -> dict[str, object]:
    """Return what a machine of the group is started with; the hash is of the very bytes that the store holds."""
    document: dict[str, object] = {
        "CloudProvider": cluster.cloud,
        "ClusterName": cluster.name,
        "InstanceGroupName": group.name,
        "InstanceGroupRole": group.role,
        "NodeupConfigHash": base64.b64encode(hashlib.sha256(nodeup_config_content).digest()).decode(),
    }
    if cluster.cloud == "metal" and cluster.addresses:
        document["APIServerIPs"] = list(cluster.addresses)
    if group.role == "ControlPlane":
        return document | {"ConfigBase": cluster.base}
    server: dict[str, object] = {
        "CACertificates": keysets["kubernetes-ca"].trusted_bundle().decode(),
        "servers": [f"https://kops-controller.internal.{cluster.name}:3988/"],
    }
    return document | {"ConfigServer": server}


def dump(document: Mapping[str, object]) -> bytes:
    """Return a document's bytes as they are stored."""
    return dump_yaml(document).encode()


def _control_plane(cluster: Cluster, group: InstanceGroup, keysets: Mapping[str, Keyset]) -> dict[str, object]:
    """Return what only a control-plane machine is told."""
    trusted = {name: keyset.trusted_bundle().decode() for name, keyset in keysets.items() if name != "service-account"}
    document: dict[str, object] = {
        "APIServerConfig": {
            "API": {},
            "ClusterDNSDomain": "cluster.local",
            "KubeAPIServer": components.kube_apiserver(cluster),
            "ServiceAccountPublicKeys": service_account_public_keys(keysets),
        },
        "CAs": trusted,
        "ControlPlaneConfig": {
            "KubeControllerManager": components.kube_controller_manager(cluster),
            "KubeScheduler": components.kube_scheduler(cluster),
        },
        "EtcdClusterNames": [etcd.name for etcd in ETCD_CLUSTERS],
        "FileAssets": [{"content": SCHEDULER_CONFIG, "path": "/var/lib/kube-scheduler/config.yaml"}],
        "KeypairIDs": {name: keyset.primary.id for name, keyset in keysets.items()},
        "channelsManifest": f"{cluster.base}/manifests/channels/kops-channels.yaml",
        "configStore": {"keypairs": f"{cluster.base}/pki", "secrets": f"{cluster.base}/secrets"},
        "etcdManifests": [f"{cluster.base}/manifests/etcd/{etcd.name}-{group.name}.yaml" for etcd in ETCD_CLUSTERS],
        "staticManifests": [{"key": "kube-apiserver-healthcheck", "path": "manifests/static/kube-apiserver-healthcheck.yaml"}],
    }
    if cluster.addresses:
        document["ApiserverAdditionalIPs"] = [cluster.addresses[0]]
    return document
