"""Where the facts that only others know come from: --facts, the network where it may be asked, or what it said to the last apply."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from agents.errors import SpecError
from agents.host.protocol import Host
from nodeup.facts import AwsFacts, CloudFacts, InstanceType
from nodeup.facts_file import GivenFacts, MachineFacts, check_cloud, parse_facts
from nodeup.ipv6_prefix import ensure_ipv6_prefix
from nodeup.observe import NETWORK_FACTS, ask_network, remembered_network
from nodeup.planners.instance_types import wanted_instance_types
from nodeup.spec.node import NodeSpec


def facts_of_file(path: Path, spec: NodeSpec) -> GivenFacts:
    """Return what --facts FILE says; SpecError where that is none, or of another cloud."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"--facts {path}: {getattr(error, 'strerror', None) or error}") from error
    given = parse_facts(text, where=str(path))
    check_cloud(given.network, spec.boot.cloud.value, where=str(path))
    return given


def remembered_facts(host: Host, spec: NodeSpec) -> GivenFacts:
    """Return what the network said to the last apply."""
    cloud = spec.boot.cloud.value
    network = remembered_network(host, cloud)
    check_cloud(network, cloud, where=NETWORK_FACTS)
    return GivenFacts(network=network, machine=MachineFacts())


def asked_facts(host: Host, spec: NodeSpec, environment: Mapping[str, str]) -> GivenFacts:
    """Ask the network, and remember what it says."""
    from agents.clouds.select import metadata_of

    cloud = spec.boot.cloud.value
    network = ask_network(host, cloud, metadata_of(cloud, environment, host), partial(_asked_types, spec, environment))
    return GivenFacts(network=network, machine=MachineFacts())


def _asked_types(spec: NodeSpec, environment: Mapping[str, str], cloud: CloudFacts) -> Mapping[str, InstanceType]:
    """Return what EC2 says of the types that the plan needs; nobody is asked where it needs none."""
    names = wanted_instance_types(spec, cloud)
    if not names or not isinstance(cloud, AwsFacts):
        return {}
    from agents.clouds.select import ec2_of

    answers = ec2_of(cloud.region, environment).instance_types(names)
    return {
        name: InstanceType(has_gpu=one.has_nvidia_gpu, interfaces=one.interfaces, addresses_per_interface=one.addresses_per_interface)
        for name, one in answers.items()
    }


def prefix_finder(cloud: CloudFacts, host: Host, environment: Mapping[str, str]) -> Callable[[], str] | None:
    """Return how an IPv6 prefix is found or assigned; None outside of AWS."""
    if not isinstance(cloud, AwsFacts):
        return None
    from agents.clouds.select import ec2_of, metadata_of

    return partial(ensure_ipv6_prefix, metadata_of("aws", environment, host), partial(ec2_of, cloud.region, environment))


def lifecycle_completer(cloud: CloudFacts, environment: Mapping[str, str]) -> Callable[[str, str, str], None] | None:
    """Return how Auto Scaling is told that an instance is prepared; None outside of AWS."""
    if not isinstance(cloud, AwsFacts):
        return None

    def complete(group: str, hook: str, instance_id: str) -> None:
        from agents.clouds.select import autoscaling_of

        autoscaling_of(cloud.region, environment).complete_lifecycle_action(group=group, hook=hook, instance_id=instance_id)

    return complete
