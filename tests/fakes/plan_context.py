"""A node to plan for, of which a test says only what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agents.host.distribution import parse_os_release
from nodeup.assets.catalog import ArchiveMember
from nodeup.facts import AwsFacts, CloudFacts, Facts, InstanceType, Interface, OtherCloudFacts
from nodeup.planners import context_of
from nodeup.planners.context import PlanContext, Profile
from nodeup.resources.content import Literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.boot import decode_boot_config
from nodeup.spec.node import decode_node_spec

#: ID and VERSION_ID by kops' names.
_RELEASES = {
    "al2023": ("amzn", "2023"),
    "containeros": ("cos", "81"),
    "debian11": ("debian", "11"),
    "debian12": ("debian", "12"),
    "flatcar": ("flatcar", "2592.0.0"),
    "rhel9": ("rhel", "9.1"),
    "rhel10": ("rhel", "10.0"),
    "rocky9": ("rocky", "9.4"),
    "ubuntu2404": ("ubuntu", "24.04"),
}

_HASH = "0" * 64
CNI = "https://example.com/cni-plugins-linux-amd64-v1.9.1.tgz"
CONTAINERD = "https://example.com/containerd-2.3.4-linux-amd64.tar.gz"
_ASSETS = (
    "https://example.com/kubelet",
    "https://example.com/ecr-credential-provider-linux-amd64",
    "https://example.com/auth-provider-gcp",
    "https://example.com/runc.amd64",
    "https://example.com/nerdctl-2.0.0-linux-amd64.tar.gz",
    CNI,
    CONTAINERD,
)
MEMBERS = (
    ArchiveMember(path="bridge", archive=CNI),
    ArchiveMember(path="LICENSE", archive=CNI),
    ArchiveMember(path="bin/containerd", archive=CONTAINERD),
)


def plan_context(
    *,
    distribution: str = "ubuntu2404",
    cloud: str = "aws",
    role: str = "Node",
    profile: Profile = Profile.NATIVE,
    config: Mapping[str, object] | None = None,
    kubelet: Mapping[str, object] | None = None,
    members: tuple[ArchiveMember, ...] | None = None,
    interfaces: Iterable[Interface] = (),
    filesystems: Mapping[str, str] | None = None,
    existing_paths: Iterable[str] = (),
    fstab: str = "",
    lifecycle_state: str = "InService",
    private_ipv4: str = "",
    instance_type: InstanceType | None = None,
) -> PlanContext:
    """Return a small node of the cluster c.example.com; `config` is laid over its nodeup.Config, `kubelet` over its KubeletConfig."""
    boot = {
        "CloudProvider": cloud,
        "ClusterName": "c.example.com",
        "InstanceGroupName": "ig",
        "InstanceGroupRole": role,
        "ConfigServer": {"servers": ["https://kops-controller.internal.c.example.com:3988/"], "CACertificates": "PEM"},
    }
    document: dict[str, object] = {
        "Assets": {"amd64": [f"{_HASH}@{url}" for url in _ASSETS]},
        "CAs": {"kubernetes-ca": "PEM", "etcd-clients-ca-cilium": "CILIUM PEM"},
        "ClusterName": "c.example.com",
        "KeypairIDs": {"kubernetes-ca": "3", "etcd-clients-ca-cilium": "4"},
        "KubeletConfig": {
            "podManifestPath": "/etc/kubernetes/manifests",
            "kubeconfigPath": "/var/lib/kubelet/kubeconfig",
            **(kubelet or {}),
        },
        "KubernetesVersion": "1.34.0",
        "Networking": {"nonMasqueradeCIDR": "100.64.0.0/10"},
        "UpdatePolicy": "automatic",
        "containerdConfig": {"version": "2.3.4", "logLevel": "info"},
        **(config or {}),
    }
    name, version = _RELEASES[distribution]
    facts = Facts(
        distribution=parse_os_release(f"ID={name}\nVERSION_ID={version}\n"),
        architecture="amd64",
        hostname="Host-1",
        hostname_addresses=("10.0.0.9",),
        interfaces=tuple(interfaces),
        filesystems=dict(filesystems or {}),
        existing_paths=frozenset(existing_paths),
        fstab=fstab,
        cloud=_cloud(cloud, lifecycle_state, private_ipv4),
        instance_types={} if instance_type is None else {"m3.medium": instance_type},
    )
    spec = decode_node_spec(document, decode_boot_config(boot, where="boot.yaml"), where="nodeupconfig.yaml")
    return context_of(spec, facts, profile, members=members)


def _cloud(cloud: str, lifecycle_state: str, private_ipv4: str) -> CloudFacts:
    if cloud != "aws":
        return OtherCloudFacts(private_ipv4=private_ipv4)
    return AwsFacts(
        region="us-test-1",
        availability_zone="us-test-1a",
        instance_id="i-0123",
        instance_type="m3.medium",
        local_ipv4="172.20.0.7",
        local_hostname="ip-172-20-0-7.us-test-1.compute.internal",
        public_ipv4="203.0.113.7",
        mac="02:00:00:00:00:01",
        lifecycle_state=lifecycle_state,
    )


def by_id(resources: Iterable[AnyResource]) -> dict[str, AnyResource]:
    """Return resources by id."""
    return {resource.id: resource for resource in resources}


def text_of(resources: Iterable[AnyResource], path: str) -> str:
    """Return the text of the one file at this path."""
    (found,) = (resource for resource in resources if isinstance(resource, File) and resource.path == path)
    assert isinstance(found.content, Literal)
    return found.content.content.decode()
