"""What an example cluster consists of: names, addresses, versions. Everything else is derived from it by the other modules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from agents.errors import SpecError
from agents.versions import Version
from examples.state_store.assets import AssetFile

#: The kops whose files we compare with (../shared/state-stores); what it writes into kops-version.txt.
KOPS_VERSION = "1.37.0-alpha.1"

#: Names of one kind each, so that no two of them can be mixed up.
Cloud = Literal["metal", "aws"]
Role = Literal["ControlPlane", "Node"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdCluster:
    """One of the two etcd clusters that kops always has, with the ports that it gives them."""

    name: str
    cluster_name: str
    client_port: int
    peer_port: int
    grpc_port: int
    quarantine_port: int
    cpu_request: str
    log_file: str


#: Source: reference etcd-manager.md 1.9.
ETCD_CLUSTERS = (
    EtcdCluster(
        name="main",
        cluster_name="etcd",
        client_port=4001,
        peer_port=2380,
        grpc_port=3996,
        quarantine_port=3994,
        cpu_request="200m",
        log_file="/var/log/etcd.log",
    ),
    EtcdCluster(
        name="events",
        cluster_name="etcd-events",
        client_port=4002,
        peer_port=2381,
        grpc_port=3997,
        quarantine_port=3995,
        cpu_request="100m",
        log_file="/var/log/etcd-events.log",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceGroup:
    """Machines of one kind; a control-plane group has one machine, which is one member of each etcd cluster."""

    name: str
    role: Role
    zone: str
    #: What the etcd clusters call its machine; "" for workers.
    member: str = ""

    @property
    def config_key(self) -> str:
        """Where its nodeup configuration lies in the store."""
        role = "control-plane" if self.role == "ControlPlane" else "node"
        return f"igconfig/{role}/{self.name}/nodeupconfig.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """An example cluster; build it with `example_cluster`, which checks."""

    name: str
    #: The store's own URL, which kops calls configBase; other files refer to their neighbours by it.
    base: str
    cloud: Cloud
    instance_groups: tuple[InstanceGroup, ...]
    #: Of the control-plane machines, in the order of their groups; () where they are not known yet.
    addresses: tuple[str, ...]
    kubernetes_version: Version
    etcd_version: Version
    assets: tuple[AssetFile, ...]
    #: What the pods get to reach the store, sorted by name: kops copies its own S3_* and AWS_REGION into them.
    environment: tuple[tuple[str, str], ...]
    created: datetime

    @property
    def control_plane(self) -> tuple[InstanceGroup, ...]:
        """The groups of the control plane, in the order of their members."""
        return tuple(group for group in self.instance_groups if group.role == "ControlPlane")

    @property
    def container_runtime(self) -> tuple[Version, Version]:
        """The versions of containerd and runc: containerd's is that of its asset, so that archive and configuration agree."""
        archives = [asset.name for asset in self.assets if asset.name.startswith("containerd-")]
        containerd = archives[0].removeprefix("containerd-") if archives else "2.3.4"
        return Version.parse(containerd), Version(major=1, minor=4, patch=3)


def instance_groups(cloud: Cloud, control_planes: int) -> tuple[InstanceGroup, ...]:
    """Return the groups as kops names them: one zone `main` on metal, three zones on AWS, a worker group per zone."""
    if control_planes not in {1, 3}:
        raise SpecError(f"a control plane of {control_planes} machines is no example; wanted 1 or 3")
    zones = ("us-east-1a", "us-east-1b", "us-east-1c")[:control_planes] if cloud == "aws" else ("main",)
    if cloud == "aws":
        members = tuple((zone, zone, zone[-1]) for zone in zones)
    elif control_planes == 1:
        members = (("main", "main", "n"),)  # kops cuts the common beginning of the zones' names, and keeps the last letter
    else:
        members = tuple((f"main-{number}", "main", str(number)) for number in range(1, control_planes + 1))
    control_plane = (
        InstanceGroup(name=f"control-plane-{name}", role="ControlPlane", zone=zone, member=member) for name, zone, member in members
    )
    workers = (InstanceGroup(name=f"nodes-{zone}", role="Node", zone=zone) for zone in zones)
    return (*control_plane, *workers)
