"""Azure: stable names for disks, /dev/disk/azure/..., by which volumes are found."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.data import data_text
from nodeup.planners.context import PlanContext
from nodeup.planners.parts import literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.boot import CloudProvider

_RULES = "80-azure-disk.rules"
_RULES_PATH = f"/etc/udev/rules.d/{_RULES}"


def plan_azure(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the udev rules of azure-vm-utils, unless the image brings its own: newer images do, and theirs are better."""
    if context.cloud is CloudProvider.AZURE and _RULES_PATH not in context.facts.existing_paths:
        yield File(
            path=_RULES_PATH,
            content=literal(data_text(_RULES)),
            on_change=(("udevadm", "control", "--reload"), ("udevadm", "trigger", "--subsystem-match=block")),
        )
