"""gVisor's runsc, a runtime that runs containers on a kernel of its own."""

from __future__ import annotations

from collections.abc import Iterator

from agents.host.distribution import Family
from nodeup.planners.context import PlanContext
from nodeup.resources.kinds import AnyResource
from nodeup.resources.package import AptSource, Package
from nodeup.spec.boot import Role


def plan_gvisor(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the package on workers of the Debian family. containerd's side of it is in `nodeup.planners.containerd`."""
    if wants_gvisor(context) and context.facts.distribution.family is Family.DEB:
        yield AptSource(
            name="gvisor",
            keyring_url="https://gvisor.dev/archive.key",
            # apt puts the architecture in place of $(ARCH).
            sources=("deb [arch=$(ARCH)] https://storage.googleapis.com/gvisor/releases release main",),
        )
        yield Package(name="runsc")


def wants_gvisor(context: PlanContext) -> bool:
    """Tell whether this node is to offer gVisor: only workers do, system pods need the real kernel."""
    return bool(context.spec.config.section("GVisor").boolean("enabled")) and context.spec.boot.role is Role.NODE
