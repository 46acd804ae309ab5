"""Calico: the tools for WireGuard between nodes."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.resources.kinds import AnyResource
from nodeup.resources.package import Package


def plan_calico(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the package on Ubuntu, unless WireGuard is off or the cluster is IPv6-only (where Calico cannot do it).

    "Not said" counts as on, as it does for kops: Calico then finds the tools when an operator enables WireGuard later.
    """
    calico = context.spec.networking.optional("calico")
    if calico is None or context.is_ipv6_only or calico.boolean("wireguardEnabled") is False:
        return
    if context.facts.distribution.is_ubuntu:
        yield Package(name="wireguard")
