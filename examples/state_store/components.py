"""The settings of Kubernetes' components, as kops has completed them: the same in the cluster's spec and in nodeup's configuration."""

from __future__ import annotations

from agents.versions import Version
from examples.state_store.cluster import Cluster, InstanceGroup

#: kops' defaults for clusters without networks of their own.
NON_MASQUERADE_CIDR = "100.64.0.0/10"
SERVICE_CIDR = "100.64.0.0/13"
POD_CIDR = "100.96.0.0/11"
DNS_ADDRESS = "100.64.0.10"

ADMISSION_PLUGINS = (
    "DefaultStorageClass",
    "DefaultTolerationSeconds",
    "LimitRanger",
    "MutatingAdmissionWebhook",
    "NamespaceLifecycle",
    "NodeRestriction",
    "ResourceQuota",
    "RuntimeClass",
    "ServiceAccount",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
)

EVICTION = "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<10%,imagefs.inodesFree<5%"


def image(cluster: Cluster, component: str) -> str:
    """Return the image of one of Kubernetes' own components."""
    return f"registry.k8s.io/{component}:v{cluster.kubernetes_version}"


def kube_apiserver(cluster: Cluster) -> dict[str, object]:
    """Return the settings of kube-apiserver."""
    issuer = f"https://api.internal.{cluster.name}"
    return {
        "allowPrivileged": True,
        "anonymousAuth": False,
        "apiAudiences": ["kubernetes.svc.default"],
        "apiServerCount": len(cluster.control_plane),
        "authorizationMode": "Node,RBAC",
        "bindAddress": "0.0.0.0",  # noqa: S104 - the API server is what a cluster shows to the world
        "enableAdmissionPlugins": list(ADMISSION_PLUGINS),
        "etcdServers": ["https://127.0.0.1:4001"],
        "etcdServersOverrides": ["/events#https://127.0.0.1:4002"],
        "image": image(cluster, "kube-apiserver"),
        "kubeletPreferredAddressTypes": ["InternalIP", "Hostname", "ExternalIP"],
        "logLevel": 2,
        "requestheaderAllowedNames": ["aggregator"],
        "requestheaderExtraHeaderPrefixes": ["X-Remote-Extra-"],
        "requestheaderGroupHeaders": ["X-Remote-Group"],
        "requestheaderUsernameHeaders": ["X-Remote-User"],
        "securePort": 443,
        "serviceAccountIssuer": issuer,
        "serviceAccountJWKSURI": f"{issuer}/openid/v1/jwks",
        "serviceClusterIPRange": SERVICE_CIDR,
        "storageBackend": "etcd3",
    }


def kube_controller_manager(cluster: Cluster) -> dict[str, object]:
    """Return the settings of kube-controller-manager."""
    return {
        "allocateNodeCIDRs": True,
        "attachDetachReconcileSyncPeriod": "1m0s",
        "cloudProvider": "external",
        "clusterCIDR": POD_CIDR,
        "clusterName": cluster.name,
        "configureCloudRoutes": False,
        "image": image(cluster, "kube-controller-manager"),
        "leaderElection": {"leaderElect": True},
        "logLevel": 2,
        "useServiceAccountCredentials": True,
    }


def kube_scheduler(cluster: Cluster) -> dict[str, object]:
    """Return the settings of kube-scheduler."""
    return {"image": image(cluster, "kube-scheduler"), "leaderElection": {"leaderElect": True}, "logLevel": 2}


def kube_proxy(cluster: Cluster) -> dict[str, object]:
    """Return the settings of kube-proxy."""
    return {"clusterCIDR": POD_CIDR, "cpuRequest": "100m", "image": image(cluster, "kube-proxy"), "logLevel": 2}


def containerd(cluster: Cluster) -> dict[str, object]:
    """Return the settings of containerd and runc."""
    containerd_version, runc_version = cluster.container_runtime
    return {
        "logLevel": "info",
        "runc": {"version": str(runc_version)},
        "sandboxImage": "registry.k8s.io/pause:3.10.1",
        "version": str(containerd_version),
    }


def kubelet(cluster: Cluster, *, control_plane: bool) -> dict[str, object]:
    """Return the settings of kubelet that all machines of a role share."""
    settings: dict[str, object] = {
        "anonymousAuth": False,
        "cgroupDriver": "systemd",
        "cgroupRoot": "/",
        "clusterDNS": DNS_ADDRESS,
        "clusterDomain": "cluster.local",
        "enableDebuggingHandlers": True,
        "evictionHard": EVICTION,
        "kubeconfigPath": "/var/lib/kubelet/kubeconfig",
        "logLevel": 2,
        "podManifestPath": "/etc/kubernetes/manifests",
        "protectKernelDefaults": True,
        "shutdownGracePeriod": "30s",
        "shutdownGracePeriodCriticalPods": "10s",
    }
    if cluster.cloud == "aws":
        settings["cloudProvider"] = "external"
    if control_plane and cluster.kubernetes_version < Version(major=1, minor=36):
        settings["featureGates"] = {"ImageVolume": "true"}  # etcd's binaries come as image volumes, which 1.36 has without asking
    return settings


def kubelet_of_group(cluster: Cluster, group: InstanceGroup) -> dict[str, object]:
    """Return the settings of kubelet on the machines of a group: the role's, with labels and taints."""
    control_plane = group.role == "ControlPlane"
    settings = kubelet(cluster, control_plane=control_plane)
    labels = {"kops.k8s.io/instancegroup": group.name}
    if control_plane:
        labels |= {
            "kops.k8s.io/kops-controller-pki": "",
            "node-role.kubernetes.io/control-plane": "",
            "node.kubernetes.io/exclude-from-external-load-balancers": "",
        }
        settings["taints"] = ["node-role.kubernetes.io/control-plane=:NoSchedule"]
    else:
        labels["node-role.kubernetes.io/node"] = ""
    return {**settings, "nodeLabels": labels}
