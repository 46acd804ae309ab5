"""kube-proxy's static pod."""

from __future__ import annotations

import pytest
import yaml

from nodeup.planners.kube_proxy import plan_kube_proxy
from tests.fakes.plan_context import plan_context, text_of

MANIFEST = "/etc/kubernetes/manifests/kube-proxy.manifest"


def args(distribution: str = "ubuntu2404", **section: object) -> list[str]:
    context = plan_context(distribution=distribution, config={"KubeProxy": {"image": "proxy", **section}})
    found = yaml.safe_load(text_of(plan_kube_proxy(context), MANIFEST))["spec"]["containers"][0]["args"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("config", [{}, {"KubeProxy": None}, {"KubeProxy": {"enabled": False}}])
def test_it_can_be_left_out(config: dict[str, object]) -> None:
    assert list(plan_kube_proxy(plan_context(config=config))) == []


@pytest.mark.parametrize(
    ("distribution", "configured", "flag"),
    [("rhel10", "", "nftables"), ("rhel10", "iptables", "nftables"), ("rhel10", "ipvs", "ipvs"), ("ubuntu2404", "iptables", "iptables")],
)
def test_a_system_without_iptables_gets_nftables(distribution: str, configured: str, flag: str) -> None:
    assert f"--proxy-mode={flag}" in args(distribution, proxyMode=configured)


def test_the_bind_address_may_be_the_instances_own() -> None:
    assert "--bind-address=172.20.0.7" in args(bindAddress="@aws")


def test_the_node_is_called_as_the_cloud_calls_it() -> None:
    assert "--hostname-override=i-0123" in args(hostnameOverride="ignored")


def test_zero_connections_a_core_is_an_answer_and_nothing_is_not() -> None:
    assert "--conntrack-max-per-core=0" in args(conntrackMaxPerCore=0)
    assert "--conntrack-max-per-core=131072" in args()
