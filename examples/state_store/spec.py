"""The cluster as its owner wrote it (`config`), as kops completed it (`cluster-completed.spec`), and its instance groups.

Agents read none of the three; operators and other tools do. Source: real stores that kops wrote, reference nodeup.md 1.4.
"""

from __future__ import annotations

from agents.timestamps import format_timestamp
from examples.state_store import components
from examples.state_store.cluster import ETCD_CLUSTERS, Cluster, EtcdCluster, InstanceGroup

ANYWHERE = ["0.0.0.0/0", "::/0"]


def config(cluster: Cluster) -> dict[str, object]:
    """Return the Cluster object as an operator would have created it."""
    return _cluster_object(cluster, _written(cluster))


def completed(cluster: Cluster) -> dict[str, object]:
    """Return the Cluster object with everything that kops fills in."""
    filled_in: dict[str, object] = {
        "cloudConfig": {"manageStorageClasses": True},
        "clusterDNSDomain": "cluster.local",
        "containerd": components.containerd(cluster),
        "etcdClusters": [
            {
                **_etcd_cluster(cluster, etcd),
                "backups": {"backupStore": f"{cluster.base}/backups/etcd/{etcd.name}"},
                "version": str(cluster.etcd_version),
            }
            for etcd in ETCD_CLUSTERS
        ],
        "keyStore": f"{cluster.base}/pki",
        "kubeAPIServer": components.kube_apiserver(cluster),
        "kubeControllerManager": components.kube_controller_manager(cluster),
        "kubeDNS": _dns(),
        "kubeProxy": components.kube_proxy(cluster),
        "kubeScheduler": components.kube_scheduler(cluster),
        "kubelet": components.kubelet(cluster, control_plane=False),
        "masterKubelet": components.kubelet(cluster, control_plane=True),
        "podCIDR": components.POD_CIDR,
        "secretStore": f"{cluster.base}/secrets",
        "serviceClusterIPRange": components.SERVICE_CIDR,
    }
    if cluster.cloud == "aws":
        filled_in |= _completed_aws(cluster)
    return _cluster_object(cluster, _written(cluster) | filled_in)


def instance_group(cluster: Cluster, group: InstanceGroup) -> dict[str, object]:
    """Return the InstanceGroup object; v1alpha2 calls the control plane's role Master."""
    spec: dict[str, object] = {
        "image": "dummy-metal-image",
        "maxSize": 1,
        "minSize": 1,
        "nodeLabels": {"kops.k8s.io/instancegroup": group.name},
        "role": "Master" if group.role == "ControlPlane" else "Node",
        "subnets": [group.zone],
    }
    if cluster.cloud == "aws":
        spec |= {"image": "ami-00000000", "machineType": "m5.large"}
    return {
        "apiVersion": "kops.k8s.io/v1alpha2",
        "kind": "InstanceGroup",
        "metadata": {"creationTimestamp": format_timestamp(cluster.created), "name": group.name},
        "spec": spec,
    }


def _cluster_object(cluster: Cluster, spec: dict[str, object]) -> dict[str, object]:
    metadata: dict[str, object] = {"creationTimestamp": format_timestamp(cluster.created), "name": cluster.name}
    if cluster.cloud == "metal":
        metadata |= {"generation": 1, "labels": {"alpha.kops.k8s.io/cloud": "metal"}}
    return {"apiVersion": "kops.k8s.io/v1alpha2", "kind": "Cluster", "metadata": metadata, "spec": spec}


def _written(cluster: Cluster) -> dict[str, object]:
    """Return the part of the spec that an operator writes."""
    spec: dict[str, object] = {
        "api": {"loadBalancer": {"type": "Public"}},
        "authorization": {"rbac": {}},
        "channel": "stable",
        "configBase": cluster.base,
        "etcdClusters": [_etcd_cluster(cluster, etcd) for etcd in ETCD_CLUSTERS],
        "iam": {"allowContainerRegistry": True, "legacy": False},
        "kubelet": {"anonymousAuth": False},
        "kubernetesApiAccess": list(ANYWHERE),
        "kubernetesVersion": str(cluster.kubernetes_version),
        "nonMasqueradeCIDR": components.NON_MASQUERADE_CIDR,
        "sshAccess": list(ANYWHERE),
        "topology": {"dns": {"type": "None"}},
    }
    if cluster.cloud == "aws":
        spec["api"] = {"loadBalancer": {"class": "Network", "type": "Public"}}
        return spec | {"cloudProvider": "aws", "networkCIDR": "172.20.0.0/16", "networking": {"kindnet": {}}, "subnets": _subnets(cluster)}
    public_name = cluster.addresses[0] if cluster.addresses else f"api.{cluster.name}"
    subnets = [{"name": "main", "type": "Public", "zone": "main"}]
    return spec | {"masterPublicName": public_name, "networking": {"cni": {}}, "subnets": subnets}


def _etcd_cluster(cluster: Cluster, etcd: EtcdCluster) -> dict[str, object]:
    encrypted: dict[str, object] = {"encryptedVolume": True} if cluster.cloud == "aws" else {}
    return {
        "cpuRequest": etcd.cpu_request,
        "etcdMembers": [{**encrypted, "instanceGroup": group.name, "name": group.member} for group in cluster.control_plane],
        "manager": {"backupRetentionDays": 90},
        "memoryRequest": "100Mi",
        "name": etcd.name,
    }


def _subnets(cluster: Cluster) -> list[object]:
    zones = [group.zone for group in cluster.control_plane]
    return [{"cidr": f"172.20.{64 * number}.0/18", "name": zone, "type": "Public", "zone": zone} for number, zone in enumerate(zones)]


def _dns() -> dict[str, object]:
    return {
        "cacheMaxConcurrent": 150,
        "cacheMaxSize": 1000,
        "cpuRequest": "100m",
        "domain": "cluster.local",
        "memoryLimit": "170Mi",
        "memoryRequest": "70Mi",
        "nodeLocalDNS": {
            "cpuRequest": "25m",
            "enabled": False,
            "image": "registry.k8s.io/dns/k8s-dns-node-cache:1.26.0",
            "memoryRequest": "5Mi",
        },
        "provider": "CoreDNS",
        "serverIP": components.DNS_ADDRESS,
    }


def _completed_aws(cluster: Cluster) -> dict[str, object]:
    """Return what only a cluster on AWS has."""
    return {
        "cloudConfig": {"awsEBSCSIDriver": {"version": "v1.58.0"}, "manageStorageClasses": True},
        "cloudControllerManager": {
            "allocateNodeCIDRs": True,
            "clusterCIDR": components.POD_CIDR,
            "clusterName": cluster.name,
            "configureCloudRoutes": False,
            "image": "registry.k8s.io/provider-aws/cloud-controller-manager:v1.36.1",
            "leaderElection": {"leaderElect": True},
        },
        "networking": {
            "kindnet": {
                "fastPathThreshold": 0,
                "logLevel": 2,
                "masquerade": {"enabled": True, "nonMasqueradeCIDRs": ["172.20.0.0/16", components.POD_CIDR, components.SERVICE_CIDR]},
                "version": "v1.0.1",
            }
        },
        "nodeTerminationHandler": {
            "cpuRequest": "50m",
            "deleteSQSMsgIfNodeNotFound": False,
            "enableOutOfServiceTaint": False,
            "enableRebalanceDraining": False,
            "enableRebalanceMonitoring": False,
            "enableScheduledEventDraining": True,
            "enableSpotInterruptionDraining": True,
            "enabled": True,
            "excludeFromLoadBalancers": True,
            "managedASGTag": "aws-node-termination-handler/managed",
            "memoryRequest": "64Mi",
            "podTerminationGracePeriod": -1,
            "prometheusEnable": False,
            "taintNode": False,
            "version": "v1.25.5",
        },
    }
