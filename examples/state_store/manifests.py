"""The static pods of the store: etcd-manager for each etcd cluster and machine, the API server's health check, kops-channels.

Source: real stores that kops wrote; reference etcd-manager.md 1.9 and 1.10.
"""

from __future__ import annotations

import json

from agents.versions import Version
from examples.state_store.cluster import KOPS_VERSION, Cluster, EtcdCluster

ETCD_MANAGER_IMAGE = "registry.k8s.io/etcd-manager/etcd-manager-slim:v3.0.20260707"

#: The newest patch of each minor version that kops supports; its image stands in for every earlier patch, too.
NEWEST_ETCD = (Version(major=3, minor=5, patch=31), Version(major=3, minor=6, patch=12), Version(major=3, minor=7, patch=0))

CRITICAL_ADDONS_ONLY = {"key": "CriticalAddonsOnly", "operator": "Exists"}


def etcd_manager(cluster: Cluster, etcd: EtcdCluster) -> dict[str, object]:
    """Return etcd-manager's pod for one etcd cluster; it is the same on every machine."""
    name = f"etcd-manager-{etcd.name}"
    container = {
        "args": ["--log-file=/var/log/etcd.log", "--also-stdout", "/ko-app/etcd-manager", *etcd_manager_flags(cluster, etcd)],
        "command": ["/go-runner"],
        "env": [*_environment(cluster), {"name": "ETCD_MANAGER_DAILY_BACKUPS_RETENTION", "value": "90d"}],
        "image": ETCD_MANAGER_IMAGE,
        "name": "etcd-manager",
        "resources": {"requests": {"cpu": etcd.cpu_request, "memory": "100Mi"}},
        "securityContext": {"privileged": True},
        "volumeMounts": [
            {"mountPath": "/rootfs", "name": "rootfs"},
            {"mountPath": "/run", "name": "run"},
            {"mountPath": "/etc/kubernetes/pki/etcd-manager", "name": "pki"},
            *_binary_mounts(),
            {"mountPath": "/var/log/etcd.log", "name": "varlogetcd"},
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {"k8s-app": name}, "name": name, "namespace": "kube-system"},
        "spec": {
            "containers": [container],
            "hostNetwork": True,
            "hostPID": True,
            "priorityClassName": "system-cluster-critical",
            "tolerations": [dict(CRITICAL_ADDONS_ONLY)],
            "volumes": [
                _host_path("rootfs", "/", "Directory"),
                _host_path("run", "/run", "DirectoryOrCreate"),
                _host_path("pki", f"/etc/kubernetes/pki/{name}", "DirectoryOrCreate"),
                *(
                    {"image": {"pullPolicy": "IfNotPresent", "reference": f"registry.k8s.io/etcd:v{newest}"}, "name": _volume(newest)}
                    for newest in NEWEST_ETCD
                ),
                _host_path("varlogetcd", etcd.log_file, "FileOrCreate"),
            ],
        },
        "status": {},
    }


def etcd_manager_flags(cluster: Cluster, etcd: EtcdCluster) -> list[str]:
    """Return etcd-manager's flags for one etcd cluster, sorted, as kops writes them.

    On metal kops forces `--backup-store=file:///mnt/disks/backups`, which mixes the backups of both clusters inside the
    container (reference etcd-manager.md, B-33); here each etcd cluster has its own place in the store, as on every cloud.
    """
    flags = [
        f"--backup-store={cluster.base}/backups/etcd/{etcd.name}",
        f"--client-urls=https://__name__:{etcd.client_port}",
        f"--cluster-name={etcd.cluster_name}",
        "--containerized=true",
        f"--dns-suffix=.internal.{cluster.name}",
        f"--grpc-port={etcd.grpc_port}",
        f"--peer-urls=https://__name__:{etcd.peer_port}",
        f"--quarantine-client-urls=https://__name__:{etcd.quarantine_port}",
        "--v=6",
    ]
    if cluster.cloud == "aws":
        flags += [
            f"--volume-name-tag=k8s.io/etcd/{etcd.name}",
            "--volume-provider=aws",
            f"--volume-tag=k8s.io/etcd/{etcd.name}",
            "--volume-tag=k8s.io/role/control-plane=1",
            f"--volume-tag=kubernetes.io/cluster/{cluster.name}=owned",
        ]
    else:
        flags += [
            f"--static-config={_static_config(cluster, etcd)}",
            "--volume-provider=external",
            f"--volume-tag={cluster.name}--{etcd.name}--",
        ]
    return sorted(flags)


def apiserver_healthcheck() -> dict[str, object]:
    """Return the part of a pod that nodeup merges into kube-apiserver's."""
    container = {
        "args": [
            f"--{flag}=/secrets/{file}"
            for flag, file in (("ca-cert", "ca.crt"), ("client-cert", "client.crt"), ("client-key", "client.key"))
        ],
        "image": f"registry.k8s.io/kops/kube-apiserver-healthcheck:{KOPS_VERSION}",
        "livenessProbe": {
            "httpGet": {"host": "127.0.0.1", "path": "/.kube-apiserver-healthcheck/healthz", "port": 3990},
            "initialDelaySeconds": 5,
            "timeoutSeconds": 5,
        },
        "name": "healthcheck",
        "resources": {},
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10012},
        "volumeMounts": [{"mountPath": "/secrets", "name": "healthcheck-secrets", "readOnly": True}],
    }
    volume = _host_path("healthcheck-secrets", "/etc/kubernetes/kube-apiserver-healthcheck/secrets", "Directory")
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": [container], "volumes": [volume]}, "status": {}}


def kops_channels(cluster: Cluster) -> dict[str, object]:
    """Return the pod that applies the addons; our native profile has protokube do it instead."""
    kubeconfig = "/var/lib/kops/kubeconfig"
    container = {
        "args": [
            "apply",
            "channel",
            "--v=4",
            "--yes",
            "--interval=1m0s",
            "--node-labels=node-role.kubernetes.io/control-plane",
            "--node-name=$(NODE_NAME)",
            f"{cluster.base}/addons/bootstrap-channel.yaml",
        ],
        "env": [
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "KUBECONFIG", "value": kubeconfig},
            {"name": "HOME", "value": "/tmp"},  # noqa: S108 - what kops' own pod has
            *_environment(cluster),
        ],
        "image": f"registry.k8s.io/kops/channels:{KOPS_VERSION}",
        "name": "kops-channels",
        "readinessProbe": {
            "failureThreshold": 2,
            "httpGet": {"host": "127.0.0.1", "path": "/readyz", "port": 3986},
            "initialDelaySeconds": 30,
            "periodSeconds": 10,
        },
        "resources": {"requests": {"cpu": "50m", "memory": "50Mi"}},
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10013},
        "volumeMounts": [{"mountPath": kubeconfig, "name": "kubeconfig", "readOnly": True}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {"k8s-app": "kops-channels"}, "name": "kops-channels", "namespace": "kube-system"},
        "spec": {
            "containers": [container],
            "dnsPolicy": "Default",
            "hostNetwork": True,
            "priorityClassName": "system-node-critical",
            "tolerations": [dict(CRITICAL_ADDONS_ONLY)],
            "volumes": [_host_path("kubeconfig", kubeconfig, "File")],
        },
        "status": {},
    }


def _static_config(cluster: Cluster, etcd: EtcdCluster) -> str:
    """Return the members as one flag's JSON; addresses that nobody gave are kops' names for them."""
    names = [f"node{index}.{etcd.name}.{cluster.name}" for index in range(len(cluster.control_plane))]
    nodes = [{"id": f"{cluster.name}--{etcd.name}--{index}", "ip": [address]} for index, address in enumerate(cluster.addresses or names)]
    return json.dumps({"etcdVersion": str(cluster.etcd_version), "nodes": nodes}, separators=(",", ":"))


def _binary_mounts() -> list[dict[str, object]]:
    return [
        {"mountPath": f"/opt/etcd-v{newest.major}.{newest.minor}.{patch}", "name": _volume(newest)}
        for newest in NEWEST_ETCD
        for patch in range(newest.patch + 1)
    ]


def _volume(version: Version) -> str:
    return f"etcd-v{str(version).replace('.', '-')}"


def _host_path(name: str, path: str, kind: str) -> dict[str, object]:
    return {"hostPath": {"path": path, "type": kind}, "name": name}


def _environment(cluster: Cluster) -> list[dict[str, object]]:
    return [{"name": name, "value": value} for name, value in cluster.environment]
