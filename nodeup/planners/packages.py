"""Packages of the distribution that containers and the kubelet need, and those that operators ask for."""

from __future__ import annotations

from collections.abc import Iterator

from agents.host.distribution import Family
from nodeup.planners.context import PlanContext, Profile
from nodeup.resources.kinds import AnyResource
from nodeup.resources.package import Package


def plan_packages(context: PlanContext) -> Iterator[AnyResource]:
    """Plan each package once; distributions without a package manager get none."""
    yield from (Package(name=name) for name in dict.fromkeys(_names(context)))


def _names(context: PlanContext) -> tuple[str, ...]:
    distribution = context.facts.distribution
    if distribution.family not in {Family.DEB, Family.RPM}:
        return ()
    base = (
        ("iptables", "libapparmor1", "libseccomp2")
        if distribution.family is Family.DEB
        else (*_rpm_iptables(context), "libseccomp", "container-selinux")
    )
    nftables = ("nftables",) if _proxies_with_nftables(context) else ()
    return (*base, *nftables, "util-linux", *context.spec.config.texts("packages"))


def _rpm_iptables(context: PlanContext) -> tuple[str, ...]:
    """Return what brings an iptables command: the legacy one where it still exists, else the one on top of nftables."""
    match context.facts.distribution.id:
        case "al2023":
            return ("iptables-nft",)
        case "al2" | "alma8" | "rhel8" | "rhel9" | "rocky8":
            return ("iptables",)
        case _:
            return ("nftables", "iptables-nft")


def _proxies_with_nftables(context: PlanContext) -> bool:
    """Tell whether kube-proxy is set to nftables. kops wants `enabled: true` for it, which its own command line leaves out."""
    proxy = context.spec.kube_proxy
    if proxy is None or proxy.text("proxyMode") != "nftables":
        return False
    return proxy.boolean("enabled") is True if context.profile is Profile.KOPS else proxy.boolean("enabled") is not False
