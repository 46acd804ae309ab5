"""Kernel parameters."""

from __future__ import annotations

from nodeup.facts import Interface
from nodeup.planners.context import PlanContext
from nodeup.planners.sysctls import plan_sysctls
from tests.fakes.plan_context import plan_context, text_of

_IPV6 = {"Networking": {"nonMasqueradeCIDR": "::/0"}}


def _text(context: PlanContext) -> str:
    return text_of(plan_sysctls(context), "/etc/sysctl.d/99-k8s-general.conf")


def test_ports_of_services_are_kept_from_outgoing_connections() -> None:
    assert "\nnet.ipv4.ip_local_reserved_ports = 30000-32767\n" in _text(plan_context())
    assert "\nnet.ipv4.ip_local_reserved_ports = 28000-28999\n" in _text(plan_context(config={"ServiceNodePortRange": "28000-28999"}))


def test_the_operators_lines_stand_last() -> None:
    text = _text(plan_context(config={"SysctlParameters": ["# custom", "kernel.panic=5"]}))
    assert text.endswith("\nnet.ipv4.ip_forward=1\n\n# custom\nkernel.panic=5")


def test_packets_are_forwarded_in_the_clusters_address_family() -> None:
    assert "ipv6.conf.all.forwarding" not in _text(plan_context())
    assert "net.ipv4.ip_forward" not in _text(plan_context(config=_IPV6))


def test_debian_11_keeps_its_default_route_when_it_forwards() -> None:
    interfaces = [Interface(name=name, mac="", physical=True) for name in ("lo", "ens5", "eth0")]
    lines = _text(plan_context(distribution="debian11", config=_IPV6, interfaces=interfaces)).splitlines()
    assert [line for line in lines if "accept_ra" in line] == ["net.ipv6.conf.ens5.accept_ra=2"]
    assert "accept_ra" not in _text(plan_context(distribution="debian12", config=_IPV6, interfaces=interfaces))


def test_cilium_needs_reverse_path_filters_off() -> None:
    assert "rp_filter=0" in _text(plan_context(config={"Networking": {"cilium": {}}}))
    assert "rp_filter" not in _text(plan_context())
