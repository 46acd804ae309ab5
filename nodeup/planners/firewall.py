"""The host's own firewall must not drop what the cluster's network lets through."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.data import data_text
from nodeup.planners.context import PlanContext
from nodeup.planners.parts import literal, running_unit
from nodeup.render.systemd_unit import UnitSection, render_unit
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource

_SCRIPT = "/opt/kops/bin/iptables-setup"

_FIREWALLD_MARKER = "# Marker: firewalld disabled by kops to avoid conflicts with the Kubernetes CNI dataplane.\n"


def plan_firewall(context: PlanContext) -> Iterator[AnyResource]:
    """Plan a unit that accepts packets where the default policy drops them, and on distributions with firewalld, its end.

    firewalld owns a table of its own in nftables, whose verdicts no rule of ours can overrule: it is switched off and masked.
    """
    yield File(path=_SCRIPT, content=literal(data_text("iptables-setup.sh")), mode=0o755)
    yield running_unit("kubernetes-iptables-setup.service", _definition())
    if context.facts.distribution.forces_nftables:
        yield File(
            path="/etc/kops/firewalld-disabled",
            content=literal(_FIREWALLD_MARKER),
            # Through a shell, because an absent firewalld is no failure.
            on_change=(
                ("bash", "-c", "systemctl disable --now firewalld.service 2>/dev/null; true"),
                ("bash", "-c", "systemctl mask firewalld.service 2>/dev/null; true"),
            ),
        )


def _definition() -> str:
    return render_unit(
        UnitSection(
            name="Unit",
            settings=(
                ("Description", "Configure iptables for kubernetes"),
                ("Documentation", "https://github.com/kubernetes/kops"),
                ("Before", "network.target"),
            ),
        ),
        UnitSection(name="Service", settings=(("Type", "oneshot"), ("RemainAfterExit", "yes"), ("ExecStart", _SCRIPT))),
        UnitSection(name="Install", settings=(("WantedBy", "basic.target"),)),
    )
