"""Clock synchronisation with chrony: the package, the cloud's own time source, the service."""

from __future__ import annotations

from collections.abc import Iterator

from agents.host.distribution import Family
from nodeup.planners.context import PlanContext
from nodeup.planners.parts import literal, running_unit
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.resources.package import Package
from nodeup.spec.boot import CloudProvider

#: Time sources inside the cloud: no route to the internet is needed, and leap seconds are smeared alike on all nodes.
#: 169.254.169.123 is Amazon's Time Sync Service. Other clouds keep the distribution's configuration.
_POOLS = {CloudProvider.AWS: "169.254.169.123", CloudProvider.GCE: "time.google.com"}

_CONFIGURATION = """\
# Built by kOps - do NOT edit

pool {pool} prefer iburst
driftfile /var/lib/chrony/drift
leapsectz right/UTC
logdir /var/log/chrony
makestep 1.0 3
maxupdateskew 100.0
rtcsync
"""


def plan_ntp(context: PlanContext) -> Iterator[AnyResource]:
    """Plan chrony, unless the cluster manages time itself or the distribution does it (Flatcar, Container-Optimized OS).

    The unit's name has no suffix, as kops names it.
    """
    distribution = context.facts.distribution
    if context.spec.config.boolean("NTPUnmanaged") or distribution.family not in {Family.DEB, Family.RPM}:
        return
    yield Package(name="chrony")
    if context.cloud in _POOLS:
        yield File(
            path="/etc/chrony/chrony.conf" if distribution.family is Family.DEB else "/etc/chrony.conf",
            content=literal(_CONFIGURATION.format(pool=_POOLS[context.cloud])),
            mode=0o644,
        )
    yield running_unit("chrony" if distribution.family is Family.DEB else "chronyd")
