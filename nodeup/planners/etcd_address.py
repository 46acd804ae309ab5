"""Which of the machine's addresses its etcd-managers and etcd members announce and serve at.

A manager listens at this address only, and its peers' certificates name it. etcd-manager takes the first address of any
interface where no cloud says one, and so may take a container bridge's; here what the specification and the cloud say
comes first, and interfaces without a device behind them last.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from nodeup.facts import AwsFacts, OtherCloudFacts
from nodeup.planners.context import PlanContext
from nodeup.spec.etcd_manifest import EtcdManifest

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def own_address(context: PlanContext, manifest: EtcdManifest) -> str:
    """Return the IP address of this machine's member of an etcd cluster; "" where nothing says one."""
    return next((str(address) for address in _candidates(context, manifest)), "")


def _candidates(context: PlanContext, manifest: EtcdManifest) -> Iterator[_Address]:
    """Yield addresses, the best first."""
    by_interface = tuple(_on_interfaces(context, physical=True)) + tuple(_on_interfaces(context, physical=False))
    yield from _static(manifest, by_interface)
    if cidr := manifest.flag("network-cidr"):
        network = ipaddress.ip_network(cidr, strict=False)
        yield from (address for address in by_interface if address in network)
    yield from _of_cloud(context)
    # IPv4 is what a machine with both has in common with its peers, except where pods and services have none.
    family = 6 if context.is_ipv6_only else 4
    named = tuple(address for text in context.facts.hostname_addresses if (address := _parsed(text)) in by_interface and address)
    usable = tuple(address for address in (*named, *by_interface) if not (address.is_loopback or address.is_link_local))
    yield from (address for address in usable if address.version == family)
    yield from usable


def _static(manifest: EtcdManifest, mine: tuple[_Address, ...]) -> Iterator[_Address]:
    """Yield what `--static-config` says of this node: the only one, or the one that has an address of ours. Host names are passed over."""
    nodes = manifest.static.nodes if manifest.static is not None else ()
    for node in nodes:
        for text in node.addresses:
            address = _parsed(text)
            if address is not None and (len(nodes) == 1 or address in mine):
                yield address


def _of_cloud(context: PlanContext) -> Iterator[_Address]:
    match context.facts.cloud:
        case AwsFacts(local_ipv4=ipv4, ipv6=ipv6):
            texts = (ipv4, ipv6)
        case OtherCloudFacts(private_ipv4=ipv4):
            texts = (ipv4, "")
        case _:
            texts = ("", "")
    yield from (address for text in texts if (address := _parsed(text)) is not None)


def _on_interfaces(context: PlanContext, *, physical: bool) -> Iterator[_Address]:
    for interface in context.facts.interfaces:
        if interface.physical is physical:
            yield from (ipaddress.ip_interface(text).ip for text in interface.addresses)


def _parsed(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
