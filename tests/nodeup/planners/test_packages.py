"""Packages of the distribution."""

from __future__ import annotations

import pytest

from nodeup.planners.context import Profile
from nodeup.planners.packages import plan_packages
from tests.fakes.plan_context import plan_context


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ("debian12", ["iptables", "libapparmor1", "libseccomp2", "util-linux"]),
        ("al2023", ["iptables-nft", "libseccomp", "container-selinux", "util-linux"]),
        ("rhel9", ["iptables", "libseccomp", "container-selinux", "util-linux"]),
        ("rocky9", ["nftables", "iptables-nft", "libseccomp", "container-selinux", "util-linux"]),
        ("flatcar", []),
        ("containeros", []),
    ],
)
def test_each_distribution_has_its_names(distribution: str, expected: list[str]) -> None:
    assert [resource.id.removeprefix("package:") for resource in plan_packages(plan_context(distribution=distribution))] == expected


def test_a_package_that_is_wanted_twice_is_planned_once() -> None:
    proxy = {"proxyMode": "nftables", "enabled": True}
    context = plan_context(distribution="rocky9", config={"KubeProxy": proxy, "packages": ["nfs-utils", "libseccomp"]})
    names = [resource.id for resource in plan_packages(context)]
    assert len(names) == len(set(names))
    assert "package:nfs-utils" in names


def test_a_kube_proxy_that_nobody_switched_off_counts_as_enabled_unless_we_are_to_be_like_kops() -> None:
    config = {"KubeProxy": {"proxyMode": "nftables"}}
    native, kops = plan_context(config=config), plan_context(config=config, profile=Profile.KOPS)
    assert "package:nftables" in {resource.id for resource in plan_packages(native)}
    assert "package:nftables" not in {resource.id for resource in plan_packages(kops)}
