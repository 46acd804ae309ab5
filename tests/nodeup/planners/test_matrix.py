"""Every distribution with every cloud, role and network plugin: a plan in an order, or the one thing that does not go together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from agents.errors import SpecError
from agents.host.distribution import parse_os_release
from nodeup.engine.graph import build_graph
from nodeup.facts import AzureFacts, CloudFacts, GceFacts, InstanceType, Interface, OtherCloudFacts
from nodeup.planners import plan
from nodeup.planners.context import PlanContext, Profile
from nodeup.spec.boot import CloudProvider
from tests.fakes.plan_context import plan_context
from tests.nodeup.planners.control_plane import control_plane

DISTRIBUTIONS = (
    ("almalinux", "9.4"), ("amzn", "2"), ("amzn", "2023"), ("centos", "9"), ("centos", "10"), ("cos", "117"), ("debian", "11"),
    ("debian", "12"), ("debian", "13"), ("fedora", "44"), ("flatcar", "4081.2.0"), ("rhel", "8.10"), ("rhel", "9.4"), ("rhel", "10.0"),
    ("rocky", "8.9"), ("rocky", "9.4"), ("rocky", "10.1"), ("ubuntu", "20.04"), ("ubuntu", "22.04"), ("ubuntu", "24.04"),
    ("ubuntu", "25.10"), ("ubuntu", "26.04"),
)  # fmt: skip
ROLES = ("ControlPlane", "APIServer", "Node")
NETWORKS: tuple[dict[str, object], ...] = (
    {}, {"amazonVPC": {}}, {"calico": {}}, {"cilium": {}}, {"cilium": {"ipam": "eni"}}, {"flannel": {}}, {"kindnet": {}},
    {"kubeRouter": {}},
)  # fmt: skip
ASSETS = (
    "kubelet", "kubectl", "runc.amd64", "ecr-credential-provider-linux-amd64", "auth-provider-gcp",
    "cni-plugins-linux-amd64-v1.9.1.tgz", "containerd-2.3.4-linux-amd64.tar.gz",
)  # fmt: skip
IPV4 = {"nonMasqueradeCIDR": "100.64.0.0/10", "serviceClusterIPRange": "100.64.0.0/13"}
IPV6 = {"nonMasqueradeCIDR": "::/0", "serviceClusterIPRange": "fd00:5e4f:ce::/108"}


def _node(distribution: tuple[str, str], cloud: CloudProvider, role: str, networking: dict[str, object]) -> PlanContext:
    config = {
        "Networking": networking,
        "InstallCNIAssets": True,
        "Assets": {"amd64": [f"{'0' * 64}@https://example.com/{name}" for name in ASSETS]},
    }
    if role == "Node":
        context = plan_context(cloud=cloud.value, config=config, private_ipv4="10.0.0.3")
    else:
        context = control_plane(role=role, cloud=cloud.value, config=config, private_ipv4="10.0.0.3")
    clouds: dict[CloudProvider, CloudFacts] = {
        CloudProvider.GCE: GceFacts(project="p", zone="z", instance_name="n", hostname="n.c.p"),
        CloudProvider.AZURE: AzureFacts(resource_id="/subscriptions/x"),
        CloudProvider.LINODE: OtherCloudFacts(label="nodes-1"),
    }
    name, version = distribution
    facts = replace(
        context.facts,
        distribution=parse_os_release(f"ID={name}\nVERSION_ID={version}\n"),
        cloud=clouds.get(cloud, context.facts.cloud),
        interfaces=(Interface(name="ens5", mac="02:00:00:00:00:01", physical=True, addresses=("10.0.0.3/24", "2001:db8::1/64")),),
        instance_types={"m3.medium": InstanceType(has_gpu=False, interfaces=2, addresses_per_interface=6)},
    )
    return replace(context, facts=facts)


def _nodes(distribution: tuple[str, str]) -> Iterator[tuple[PlanContext, bool]]:
    """Yield nodes, and whether they go together."""
    ipv6_clouds = {CloudProvider.AWS, CloudProvider.GCE, CloudProvider.METAL}
    for role in ROLES:
        for cloud in CloudProvider:
            yield _node(distribution, cloud, role, {**IPV4}), True
            if role == "Node":
                yield _node(distribution, cloud, role, {**IPV6}), cloud in ipv6_clouds
        for network in NETWORKS if role != "APIServer" else ():
            yield _node(distribution, CloudProvider.AWS, role, {**IPV4, **network}), True


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids="-".join)
def test_what_goes_together_is_planned_and_ordered(distribution: tuple[str, str]) -> None:
    for context, goes in _nodes(distribution):
        for profile in Profile:
            if goes:
                resources = plan(context.spec, context.facts, profile)
                assert profile is Profile.KOPS or build_graph(resources).steps
            else:
                with pytest.raises(SpecError, match="IPv6-only"):
                    plan(context.spec, context.facts, profile)
