"""Rotation of the logs that node components write to files."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext, Profile
from nodeup.planners.parts import literal, running_unit
from nodeup.render.logrotate import render_logrotate_rule
from nodeup.render.systemd_unit import UnitSection, render_unit
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.resources.package import Package

#: kops writes a rule for each of these wherever it runs; `missingok` makes rules for absent logs harmless.
_LOGS = (
    "docker",
    "etcd",
    "etcd-events",
    "etcd-leases",
    "kube-addons",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubelet",
)
#: Flatcar's logrotate.conf has `dateext`: seconds keep the names of a day's rotations apart.
_FLATCAR_DATE_FORMAT = "-%Y%m%d-%s"


def plan_logrotate(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the rules and an hourly run; Container-Optimized OS rotates by itself.

    kops' timer has no [Install] section, so that it never starts at boot before nodeup has run; ours is enabled.
    """
    if context.is_container_os:
        return
    if not context.is_flatcar:
        yield Package(name="logrotate")
    for log in (*_LOGS, *(["etcd-cilium"] if context.spec.config.boolean("UseCiliumEtcd") else [])):
        rule = render_logrotate_rule(f"/var/log/{log}.log", date_format=_FLATCAR_DATE_FORMAT if context.is_flatcar else None)
        yield File(path=f"/etc/logrotate.d/{log}", content=literal(rule), mode=0o644)
    if not context.is_flatcar:
        yield running_unit("logrotate.service", _service())
    yield running_unit("logrotate.timer", _timer(installed=context.profile is not Profile.KOPS))


def _service() -> str:
    return render_unit(
        UnitSection(name="Unit", settings=(("Description", "Rotate and Compress System Logs"),)),
        UnitSection(name="Service", settings=(("ExecStart", "/usr/sbin/logrotate /etc/logrotate.conf"),)),
    )


def _timer(*, installed: bool) -> str:
    install = (UnitSection(name="Install", settings=(("WantedBy", "timers.target"),)),) if installed else ()
    return render_unit(
        UnitSection(name="Unit", settings=(("Description", "Hourly Log Rotation"),)),
        UnitSection(name="Timer", settings=(("OnCalendar", "hourly"),)),
        *install,
    )
