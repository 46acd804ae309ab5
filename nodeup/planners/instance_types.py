"""Which EC2 instance types a plan has to know, so that nobody is asked about any where it does not matter. Pure."""

from __future__ import annotations

from nodeup.facts import AwsFacts, CloudFacts
from nodeup.spec.node import NodeSpec


def wanted_instance_types(spec: NodeSpec, cloud: CloudFacts) -> tuple[str, ...]:
    """Return the names of the types; none outside of AWS.

    kops asks about the machine's own type where containerd is to offer GPUs, and where pods take addresses of the
    instance's network interfaces and nobody says how many pods there may be.
    """
    if not isinstance(cloud, AwsFacts):
        return ()
    names = []
    if wants_gpu(spec):
        names.append(cloud.instance_type)
    if counts_addresses(spec):
        names.append(own_type(spec, cloud))
    return tuple(dict.fromkeys(name for name in names if name))


def own_type(spec: NodeSpec, aws: AwsFacts) -> str:
    """Return the machine's type, or what the instance group usually has where the metadata service does not say."""
    return aws.instance_type or spec.config.text("DefaultMachineType")


def wants_gpu(spec: NodeSpec) -> bool:
    """Tell whether containerd is to offer NVIDIA GPUs where there are any."""
    return bool(spec.containerd.section("nvidiaGPU").boolean("enabled"))


def counts_addresses(spec: NodeSpec) -> bool:
    """Tell whether the number of pods follows from the number of addresses."""
    return not spec.kubelet.has("maxPods") and (spec.networking.has("amazonVPC") or uses_cilium_eni(spec))


def uses_cilium_eni(spec: NodeSpec) -> bool:
    """Tell whether Cilium gives pods addresses of network interfaces."""
    return spec.networking.section("cilium").text("ipam") == "eni"
