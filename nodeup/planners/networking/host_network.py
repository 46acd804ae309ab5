"""Keep the distribution's network managers away from interfaces and routes that belong to a network plugin.

Each function plans one such fix, where the distribution needs it; which plugin needs which is decided by its planner.
"""

from __future__ import annotations

from collections.abc import Iterator

from agents.errors import SpecError
from nodeup.planners.context import PlanContext
from nodeup.planners.parts import literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource

_RESTART_NETWORKD = (("systemctl", "restart", "systemd-networkd"),)

#: Distributions whose systemd-networkd (249 or newer) manages routes it did not make, and gives interfaces lasting addresses.
_NETWORKD = frozenset({"ubuntu2204", "ubuntu2404", "ubuntu2510", "ubuntu2604", "debian12", "debian13", "al2023"})
#: Distributions where cloud-init reacts to interfaces that appear later.
_CLOUD_INIT_HOTPLUG = frozenset({"ubuntu2404", "ubuntu2510", "ubuntu2604", "debian12", "debian13"})
#: Distributions where networkd would configure secondary interfaces by DHCP.
_NETWORKD_SECONDARY = frozenset({"al2023", "debian12", "debian13"})

_FOREIGN_ROUTES = """\

# Do not clobber any routes or rules added by CNI.
[Network]
ManageForeignRoutes=no
ManageForeignRoutingPolicyRules=no
"""
_DEFAULT_LINK = """\

[Match]
OriginalName=*
[Link]
NamePolicy=keep kernel database onboard slot path
AlternativeNamesPolicy=database onboard slot path
MACAddressPolicy=none
"""
_SECONDARY_INTERFACES = """\

[Match]
Driver=ena
Property=!INTERFACE={primary}

[Link]
Unmanaged=yes
"""
_NO_HOTPLUG = """\
# Disable cloud-init network hotplug to prevent interference with CNI ENI management.
# See: https://github.com/kubernetes/kops/issues/17881
updates:
  network:
    when: [boot-new-instance]
"""
#: Through a shell, since the units need not exist.
_STOP_POLICY_ROUTES = (
    "systemctl stop 'policy-routes@*.service' 'refresh-policy-routes@*.service' 'refresh-policy-routes@*.timer' 2>/dev/null; true"
)


def keep_foreign_routes(context: PlanContext) -> Iterator[AnyResource]:
    """Let networkd leave alone the routes and rules that a plugin adds."""
    if context.facts.distribution.id in _NETWORKD:
        yield File(
            path="/usr/lib/systemd/networkd.conf.d/40-disable-manage-foreign-routes.conf",
            content=literal(_FOREIGN_ROUTES),
            after_packages=True,
            on_change=_RESTART_NETWORKD,
        )


def keep_mac_addresses(context: PlanContext) -> Iterator[AnyResource]:
    """Let networkd leave MAC addresses as the kernel chose them: plugins set those of their veth pairs themselves."""
    if context.facts.distribution.id in _NETWORKD:
        yield File(
            path="/etc/systemd/network/99-default.link",
            content=literal(_DEFAULT_LINK),
            after_packages=True,
            on_change=_RESTART_NETWORKD,
        )


def ignore_secondary_interfaces(context: PlanContext) -> Iterator[AnyResource]:
    """Let networkd ignore all of the instance's interfaces but the primary one; SpecError if that is not to be found.

    The primary is the one physical interface with the MAC address that the metadata service gives.
    """
    if context.aws is None or context.facts.distribution.id not in _NETWORKD_SECONDARY:
        return
    mac = context.aws.mac
    primary = [interface.name for interface in context.facts.interfaces if interface.physical and interface.mac == mac]
    if len(primary) != 1:
        raise SpecError(f"wanted one network interface with the primary MAC address {mac}, found {', '.join(primary) or 'none'}")
    yield File(
        path="/etc/systemd/network/75-eni-secondary.network",
        content=literal(_SECONDARY_INTERFACES.format(primary=primary[0])),
        after_packages=True,
        on_change=_RESTART_NETWORKD,
    )


def ignore_hotplugged_interfaces(context: PlanContext) -> Iterator[AnyResource]:
    """Let cloud-init configure interfaces at the first boot only."""
    if context.facts.distribution.id in _CLOUD_INIT_HOTPLUG:
        yield File(path="/etc/cloud/cloud.cfg.d/99-disable-network-hotplug.cfg", content=literal(_NO_HOTPLUG))


def remove_policy_routes(context: PlanContext) -> Iterator[AnyResource]:
    """Silence amazon-ec2-net-utils, which gives secondary interfaces addresses and policy routes of its own."""
    if context.facts.distribution.id == "al2023":
        yield File(
            path="/etc/udev/rules.d/99-vpc-policy-routes.rules",
            content=literal(""),
            after_packages=True,
            # Shells where a failure is none: the units need not exist, and patterns must be expanded.
            on_change=(
                ("udevadm", "control", "--reload-rules"),
                ("udevadm", "trigger"),
                ("bash", "-c", _STOP_POLICY_ROUTES),
                ("bash", "-c", "systemctl disable 'policy-routes@*.service' 'refresh-policy-routes@*.timer' 2>/dev/null; true"),
                ("bash", "-c", "rm -f /run/systemd/network/*/ec2net_alias.conf"),
                ("systemctl", "restart", "systemd-networkd"),
            ),
        )
