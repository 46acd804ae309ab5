"""Addresses for pods in IPv6-only clusters: a prefix assigned to the instance."""

from __future__ import annotations

from collections.abc import Iterator

from agents.errors import SpecError
from nodeup.planners.context import PlanContext
from nodeup.resources.cloud import Ipv6Prefix
from nodeup.resources.kinds import AnyResource
from nodeup.spec.boot import CloudProvider


def plan_ipv6_prefix(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the prefix on AWS; Google's and bare metal machines have theirs by other means. SpecError in other clouds."""
    if not context.is_ipv6_only:
        return
    match context.cloud:
        case CloudProvider.AWS:
            yield Ipv6Prefix(mac=context.aws.mac if context.aws is not None else "")
        case CloudProvider.GCE | CloudProvider.METAL:
            return
        case _:
            raise SpecError(
                f"Networking.nonMasqueradeCIDR: the cluster is IPv6-only, which {context.cloud.value} does not support",
                hint="use AWS, GCE or bare metal",
            )
