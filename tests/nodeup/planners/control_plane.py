"""A control-plane node with keys and manifests, for tests of its planners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import yaml

from agents.pki.keyset import Keyset, KeysetItem
from agents.secret import Secret
from nodeup.planners.context import PlanContext, Profile
from tests.fakes.plan_context import plan_context

AUTHORITIES = (
    "apiserver-aggregator-ca",
    "etcd-clients-ca",
    "etcd-manager-ca-events",
    "etcd-manager-ca-main",
    "etcd-peers-ca-events",
    "etcd-peers-ca-main",
    "kubernetes-ca",
    "service-account",
)
BASE = "s3://bucket/c.example.com"


def control_plane(
    *,
    role: str = "ControlPlane",
    cloud: str = "metal",
    profile: Profile = Profile.NATIVE,
    config: Mapping[str, object] | None = None,
    server: Mapping[str, object] | None = None,
    authentication: Mapping[str, object] | None = None,
    secrets: Mapping[str, str] | None = None,
    manifests: Mapping[str, Mapping[str, object]] | None = None,
    private_ipv4: str = "",
) -> PlanContext:
    """Return a node with an API server; `server` is laid over KubeAPIServer, `manifests` are etcd manifests by base name."""
    stored = manifests or {}
    document = {
        "CAs": {name: f"{name} bundle\n" for name in AUTHORITIES},
        "KeypairIDs": dict.fromkeys(AUTHORITIES, "7"),
        "APIServerConfig": {
            "ClusterDNSDomain": "cluster.local",
            "API": {"publicName": "api.c.example.com", "dns": {}},
            "Authentication": authentication,
            "KubeAPIServer": {"image": "registry.example.com/kube-apiserver:v1", "securePort": 443, **(server or {})},
            "ServiceAccountPublicKeys": "PUBLIC\n",
        },
        "ControlPlaneConfig": {"KubeControllerManager": {"image": "kcm"}, "KubeScheduler": {"image": "scheduler"}},
        "EtcdClusterNames": ["main", "events"],
        "Networking": {"nonMasqueradeCIDR": "100.64.0.0/10", "serviceClusterIPRange": "100.64.0.0/13"},
        "configStore": {"keypairs": f"{BASE}/pki", "secrets": f"{BASE}/secrets"},
        "etcdManifests": [f"{BASE}/manifests/etcd/{name}.yaml" for name in stored],
        **(config or {}),
    }
    context = plan_context(role=role, cloud=cloud, profile=profile, config=document, private_ipv4=private_ipv4)
    keysets = {
        name: Keyset(
            name=name,
            primary_id="7",
            items=(KeysetItem(id="7", certificate_pem=f"{name} certificate\n".encode(), key=Secret(f"{name} key\n")),),
        )
        for name in AUTHORITIES
    }
    spec = context.spec.with_material(
        keysets=keysets,
        secrets={name: Secret(text) for name, text in (secrets or {}).items()},
        manifests={f"{BASE}/manifests/etcd/{name}.yaml": yaml.safe_dump(dict(pod)).encode() for name, pod in stored.items()},
    )
    return replace(context, spec=spec)


def etcd_pod(cluster: str, *flags: str, images: Mapping[str, str] | None = None) -> dict[str, object]:
    """Return a pod of etcd-manager as kops writes it, with these flags; `images` are references by version."""
    mounted = images or {"3.6.12": "registry.example.com/etcd:v3.6.12"}
    return {
        "metadata": {"labels": {"k8s-app": f"etcd-manager-{cluster}"}},
        "spec": {
            "containers": [
                {
                    "args": ["--log-file=/var/log/etcd.log", "/ko-app/etcd-manager", "--containerized=true", *flags],
                    "env": [{"name": "S3_SECRET_ACCESS_KEY", "value": "hush"}, {"name": "ETCD_MANAGER_X", "value": "1"}],
                    "volumeMounts": [{"mountPath": f"/opt/etcd-v{version}", "name": f"etcd-{version}"} for version in mounted],
                }
            ],
            "volumes": [
                *({"name": f"etcd-{version}", "image": {"reference": reference}} for version, reference in mounted.items()),
                {"name": "varlogetcd", "hostPath": {"path": f"/var/log/etcd-{cluster}.log"}},
            ],
        },
    }
