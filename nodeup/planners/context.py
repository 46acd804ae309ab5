"""PlanContext: what every planner is given, and the few facts about a node that most of them need.

All of it is computed from the specification and the observed facts; nothing here reads or asks anything.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import Enum

from agents.errors import SpecError
from nodeup.assets.catalog import Catalog
from nodeup.facts import AwsFacts, Facts, GceFacts, OtherCloudFacts
from nodeup.planners.instance_types import wants_gpu
from nodeup.spec.boot import CloudProvider, Role
from nodeup.spec.node import NodeSpec


class Profile(Enum):
    """Which set of resources a node gets."""

    #: etcd-manager and the addon applier are services of ours.
    NATIVE = "native"
    #: Exactly what kops' own nodeup makes.
    KOPS = "kops"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanContext:
    """One node to plan for."""

    spec: NodeSpec
    facts: Facts
    profile: Profile
    catalog: Catalog

    # --- who the node is

    @property
    def cloud(self) -> CloudProvider:
        """The cloud it runs in."""
        return self.spec.boot.cloud

    @property
    def cluster_name(self) -> str:
        """The cluster's name, a DNS name."""
        return self.spec.cluster_name

    @property
    def is_control_plane(self) -> bool:
        """Whether the whole control plane runs here."""
        return self.spec.boot.role is Role.CONTROL_PLANE

    @property
    def has_api_server(self) -> bool:
        """Whether an API server runs here; then CA keys are here too, and certificates are issued locally."""
        return self.spec.boot.role in {Role.CONTROL_PLANE, Role.API_SERVER}

    @property
    def node_name(self) -> str:
        """The name of the Node object, in lower case; it must equal what kops-controller's verifier decides."""
        return (self.hostname_override or self.facts.hostname).strip().lower()

    @property
    def hostname_override(self) -> str:
        """The node name that the cloud dictates; "" where it is the host's own name."""
        cloud = self.facts.cloud
        match cloud:
            case AwsFacts():
                return _aws_node_name(cloud, ip_based=bool(self.spec.config.boolean("useIPBasedNodeNames")))
            case GceFacts():
                return cloud.hostname.split(".")[0]
            case OtherCloudFacts() if self.cloud is CloudProvider.DIGITALOCEAN:
                return cloud.private_ipv4
            case OtherCloudFacts() if self.cloud is CloudProvider.LINODE:
                return cloud.label
            case _:
                return ""

    @property
    def aws(self) -> AwsFacts | None:
        """What EC2 says about the instance; None in other clouds."""
        return self.facts.cloud if isinstance(self.facts.cloud, AwsFacts) else None

    @property
    def is_warming(self) -> bool:
        """Whether the instance is only being prepared for a warm pool: kubelet is then installed and not started."""
        in_warm_pool = bool(self.spec.config.texts("warmPoolImages")) and self.spec.boot.role in {Role.NODE, Role.API_SERVER}
        return in_warm_pool and self.aws is not None and self.aws.lifecycle_state.startswith("Warmed:")

    @property
    def has_nvidia_gpu(self) -> bool:
        """Whether a GPU is there and wanted: AWS knows by instance type, OpenStack is believed, other clouds have none."""
        if not wants_gpu(self.spec):
            return False
        if self.aws is not None:
            known = self.facts.instance_types.get(self.aws.instance_type)
            if known is None:
                raise SpecError(
                    f'GPUs are wanted where there are any, and of instance type "{self.aws.instance_type}" EC2 said nothing',
                    code="no-facts",
                    hint="say it in --facts (instanceTypes); apply asks EC2",
                )
            return known.has_gpu
        return self.cloud is CloudProvider.OPENSTACK

    # --- names and addresses

    def internal_name(self, service: str) -> str:
        """The name of a service inside the cluster: "api" gives api.internal.<cluster>."""
        return f"{service}.internal.{self.cluster_name}"

    @property
    def api_server_url(self) -> str:
        """The URL by which components of this node reach the API."""
        return "https://127.0.0.1" if self.has_api_server else f"https://{self.internal_name('api')}"

    @property
    def is_ipv6_only(self) -> bool:
        """Whether pods and services have IPv6 addresses only."""
        return ":" in self.spec.networking.text("nonMasqueradeCIDR")

    @property
    def uses_none_dns(self) -> bool:
        """Whether the cluster's names are in /etc/hosts and not in DNS."""
        return bool(self.spec.config.boolean("usesNoneDNS"))

    @property
    def service_address(self) -> str:
        """The first address of the services' range: the API's own service; "" without a range."""
        cidr = self.spec.networking.text("serviceClusterIPRange")
        if not cidr:
            return ""
        try:
            return str(ipaddress.ip_network(cidr, strict=False)[1])
        except (ValueError, IndexError) as error:
            raise SpecError(
                f"Networking.serviceClusterIPRange: wanted a range of addresses such as 100.64.0.0/13, found {cidr!r}",
                code="spec-nodeup-config",
            ) from error

    def proxy_environment(self) -> tuple[tuple[str, str], ...]:
        """Variables for processes that go through the egress proxy; empty without one. Sorted as kops sorts them."""
        proxy = self.spec.networking.section("egressProxy")
        http = proxy.section("httpProxy")
        host, port = http.text("host"), http.number("port")
        if not host:
            return ()
        url = f"http://{host}:{port}" if port else f"http://{host}"
        excludes = proxy.text("excludes")
        return (("http_proxy", url), ("https_proxy", url), ("NO_PROXY", excludes), ("no_proxy", excludes))

    @property
    def private_address(self) -> str:
        """The address inside the cloud's network, in clouds with small metadata services; "" elsewhere."""
        return self.facts.cloud.private_ipv4 if isinstance(self.facts.cloud, OtherCloudFacts) else ""

    # --- paths, by distribution

    @property
    def is_flatcar(self) -> bool:
        """Whether this is Flatcar Container Linux: /usr is read-only and containerd belongs to the system."""
        return self.facts.distribution.id == "flatcar"

    @property
    def is_container_os(self) -> bool:
        """Whether this is Google's Container-Optimized OS."""
        return self.facts.distribution.id == "containeros"

    @property
    def srv(self) -> str:
        """The directory of most certificates and keys (kops' PathSrvKubernetes)."""
        return "/etc/srv/kubernetes" if self.is_container_os else "/srv/kubernetes"

    @property
    def kubelet_directory(self) -> str:
        """Where the kubelet binary goes."""
        if self.is_container_os:
            return "/home/kubernetes/bin"
        return "/opt/kubernetes/bin" if self.is_flatcar else "/usr/local/bin"

    @property
    def tools_directory(self) -> str:
        """Where kubectl, crictl, nerdctl and credential providers go."""
        if self.is_container_os:
            return "/home/kubernetes/bin"
        return "/opt/kops/bin" if self.is_flatcar else "/usr/local/bin"

    @property
    def flex_volume_directory(self) -> str:
        """Where volume plugins lie, unless the kubelet's configuration says otherwise."""
        configured = self.spec.kubelet.text("volumePluginDirectory")
        if configured:
            return configured
        if self.is_container_os:
            return "/home/kubernetes/flexvolume/"
        return "/var/lib/kubelet/volumeplugins/" if self.is_flatcar else "/usr/libexec/kubernetes/kubelet-plugins/volume/exec/"


def _aws_node_name(facts: AwsFacts, *, ip_based: bool) -> str:
    if not ip_based:
        return facts.instance_id
    if facts.instance_id and facts.local_hostname.startswith(facts.instance_id):
        raise SpecError(
            f"nodes are to be named by address, and EC2 names this instance {facts.local_hostname}",
            hint="set the subnet's hostname type to ip-name, or leave useIPBasedNodeNames out",
        )
    zone = "ec2.internal" if facts.region == "us-east-1" else f"{facts.region}.compute.internal"
    return f"ip-{facts.local_ipv4.replace('.', '-')}.{zone}"
