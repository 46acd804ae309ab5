"""Kernel parameters of a Kubernetes node."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.data import data_text
from nodeup.planners.context import PlanContext
from nodeup.planners.parts import literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.boot import CloudProvider

#: kube-apiserver's default for --service-node-port-range; the kernel must not hand these ports to outgoing connections.
_DEFAULT_NODE_PORTS = "30000-32767"

_AWS = """\
# AWS settings

# Issue #23395
net.ipv4.neigh.default.gc_thresh1=0
"""
_IPV4_FORWARDING = """\
# Prevent docker from changing iptables: https://github.com/kubernetes/kubernetes/issues/40182
net.ipv4.ip_forward=1
"""
_IPV6_FORWARDING = """\
# Enable IPv6 forwarding for network plugins that don't do it themselves
net.ipv6.conf.all.forwarding=1
"""
_CILIUM = """\
# Depending on systemd version, cloud and distro, rp_filters may be enabled.
# Cilium requires this to be disabled. See https://github.com/cilium/cilium/issues/10645
net.ipv4.conf.all.rp_filter=0
net.ipv4.conf.lxc*.rp_filter=0
net.ipv4.conf.cilium_*.rp_filter=0
"""


def plan_sysctls(context: PlanContext) -> Iterator[AnyResource]:
    """Plan one file, loaded when it changes. The operator's lines stand last: of two settings of one parameter the last counts."""
    blocks = [
        data_text("99-k8s-general.conf").format(node_ports=context.spec.config.text("ServiceNodePortRange", _DEFAULT_NODE_PORTS)),
        *([_AWS] if context.cloud is CloudProvider.AWS else []),
        *([_router_advertisements(context) + _IPV6_FORWARDING] if context.is_ipv6_only else [_IPV4_FORWARDING]),
        *([_CILIUM] if context.spec.networking.has("cilium") else []),
    ]
    text = "\n".join((*blocks, *context.spec.config.texts("SysctlParameters")))
    yield File(path="/etc/sysctl.d/99-k8s-general.conf", content=literal(text), on_change=(("sysctl", "--system"),))


def _router_advertisements(context: PlanContext) -> str:
    """Return the lines that keep the default route on Debian 11: a forwarding interface ignores advertisements unless told so."""
    names = [interface.name for interface in context.facts.interfaces if interface.name.startswith("ens")]
    if context.facts.distribution.id != "debian11" or not names:
        return ""
    lines = "".join(f"net.ipv6.conf.{name}.accept_ra=2\n" for name in names)
    return f"# Enable Router Advertisements to get the default IPv6 route\n{lines}"
