"""Kernel modules that networking needs, now and after each boot."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext, Profile
from nodeup.planners.parts import literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.resources.package import Package


def plan_kernel_modules(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the list that systemd loads, and the package with those modules that Red Hat's kernels lack.

    kops calls modprobe while it plans, and again at each boot if nodeup gets that far; in its profile there is nothing to plan.
    A module that the kernel has built in, or does not have, is no failure: systemd-modules-load says so in its log.
    """
    if context.profile is Profile.KOPS:
        return
    modules = tuple(_modules(context))
    if context.facts.distribution.forces_nftables and context.facts.missing_kernel_modules & frozenset(modules):
        yield Package(name=f"kernel-modules-extra-{context.facts.kernel_release}")
    yield File(
        path="/etc/modules-load.d/99-kubernetes.conf",
        content=literal("".join(f"{module}\n" for module in modules)),
        mode=0o644,
        after_packages=True,
        on_change=(("systemctl", "restart", "--no-block", "systemd-modules-load.service"),),
    )


def _modules(context: PlanContext) -> Iterator[str]:
    # kindnet works on routed packets; all others bridge pods, whose packets iptables then must see.
    yield "nfnetlink_queue" if context.spec.networking.has("kindnet") else "br_netfilter"
    distribution = context.facts.distribution
    if distribution.forces_nftables:
        yield from ("nf_tables", "nf_conntrack", "ip_set")
    elif distribution.id in {"alma9", "rocky9"}:
        yield "nf_conntrack"
