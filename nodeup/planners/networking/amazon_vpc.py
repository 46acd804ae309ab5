"""The Amazon VPC CNI, whose pods have addresses of the VPC on secondary interfaces of the instance."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.planners.networking.host_network import (
    ignore_hotplugged_interfaces,
    ignore_secondary_interfaces,
    keep_foreign_routes,
    keep_mac_addresses,
    remove_policy_routes,
)
from nodeup.planners.parts import literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource

_IFUPDOWN_RULE = """\
# Handle allow-hotplug interfaces.
# kops: ENV{INTERFACE} narrowed from "eth*|en*" to "eth*|ens*" so AWS VPC CNI
# veths (eni*) are not hijacked by cloud-ifupdown-helper.
SUBSYSTEM=="net", ACTION=="add", ENV{INTERFACE}=="eth*|ens*", RUN+="/etc/network/cloud-ifupdown-helper"
"""
_CLOUD_SETUP_MARKER = "# Marker: nm-cloud-setup disabled by kops to avoid breaking AWS VPC CNI pod routing.\n"
#: Brings up every connection anew; a connection that is down already is no failure.
_BOUNCE_CONNECTIONS = (
    "for c in $(nmcli -t -f NAME connection show --active 2>/dev/null); do"
    ' nmcli connection down "$c" 2>/dev/null; nmcli connection up "$c" 2>/dev/null; done; true'
)


def plan_amazon_vpc(context: PlanContext) -> Iterator[AnyResource]:
    """Plan what keeps the distribution's network managers off those interfaces."""
    if not context.spec.networking.has("amazonVPC"):
        return
    yield from remove_policy_routes(context)
    yield from keep_foreign_routes(context)
    yield from keep_mac_addresses(context)
    yield from ignore_secondary_interfaces(context)
    yield from ignore_hotplugged_interfaces(context)
    match context.facts.distribution.id:
        case "debian11":
            yield File(
                path="/etc/udev/rules.d/75-cloud-ifupdown.rules",
                content=literal(_IFUPDOWN_RULE),
                on_change=(("udevadm", "control", "--reload-rules"),),
            )
        case "rhel9":
            yield _without_cloud_setup()


def _without_cloud_setup() -> File:
    """Return a marker whose writing ends nm-cloud-setup, and brings up connections anew to undo what it did."""
    return File(
        path="/etc/kops/nm-cloud-setup-disabled",
        content=literal(_CLOUD_SETUP_MARKER),
        on_change=(
            ("bash", "-c", "systemctl disable --now nm-cloud-setup.service nm-cloud-setup.timer 2>/dev/null; true"),
            ("systemctl", "mask", "nm-cloud-setup.service", "nm-cloud-setup.timer"),
            (
                "bash",
                "-c",
                _BOUNCE_CONNECTIONS,
            ),
        ),
    )
