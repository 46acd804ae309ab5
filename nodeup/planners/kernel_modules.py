"""Kernel modules that networking needs, now and after each boot."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext, Profile
from nodeup.planners.parts import literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource


def plan_kernel_modules(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the list that systemd loads.

    kops calls modprobe while it plans, and again at each boot if nodeup gets that far; in its profile there is nothing to plan.
    A module that the kernel has built in, or does not have, is no failure: systemd-modules-load says so in its log.
    """
    if context.profile is Profile.KOPS:
        return
    yield File(
        path="/etc/modules-load.d/99-kubernetes.conf",
        content=literal("".join(f"{module}\n" for module in _modules(context))),
        mode=0o644,
        on_change=(("systemctl", "restart", "--no-block", "systemd-modules-load.service"),),
    )


def _modules(context: PlanContext) -> Iterator[str]:
    # kindnet works on routed packets; all others bridge pods, whose packets iptables then must see.
    yield "nfnetlink_queue" if context.spec.networking.has("kindnet") else "br_netfilter"
    distribution = context.facts.distribution
    if distribution.forces_nftables:
        yield from ("nf_tables", "nf_conntrack", "ip_set")
    elif distribution.id == "rocky9":
        yield "nf_conntrack"
