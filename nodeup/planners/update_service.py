"""Who installs the operating system's updates: the distribution by itself, or somebody else."""

from __future__ import annotations

from collections.abc import Iterator

from agents.host.distribution import Family
from nodeup.planners.context import PlanContext
from nodeup.planners.hooks import hook_unit_names
from nodeup.planners.parts import literal, running_unit
from nodeup.render.systemd_unit import UnitSection, render_unit
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.resources.package import Package

_APT_PERIODIC = "/etc/apt/apt.conf.d/20auto-upgrades"
_UPGRADES_ON = """\
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";

APT::Periodic::AutocleanInterval "7";
"""
_UPGRADES_OFF = 'APT::Periodic::Enable "0";\n'

_FLATCAR_UNIT = "update-service.service"


def plan_update_service(context: PlanContext) -> Iterator[AnyResource]:
    """Plan unattended upgrades where the distribution has them.

    Flatcar reboots itself after an update, coordinated by locksmith, without regard to pods: that is switched off whatever the
    policy says, unless a hook of the operator has taken the unit's name. The Red Hat family does nothing by itself.
    """
    if context.is_flatcar:
        if _FLATCAR_UNIT not in hook_unit_names(context):
            yield running_unit(_FLATCAR_UNIT, _flatcar_definition())
    elif context.facts.distribution.family is Family.DEB:
        if context.spec.config.text("UpdatePolicy") == "external":
            yield File(path=_APT_PERIODIC, content=literal(_UPGRADES_OFF))
        else:
            yield Package(name="unattended-upgrades")
            yield File(path=_APT_PERIODIC, content=literal(_UPGRADES_ON))


def _flatcar_definition() -> str:
    return render_unit(
        UnitSection(name="Unit", settings=(("Description", "Disable OS Update Scheduler"), ("Before", "locksmithd.service"))),
        UnitSection(name="Service", settings=(("Type", "oneshot"), ("ExecStart", "/usr/bin/systemctl mask --now locksmithd.service"))),
    )
