"""Extra volumes of an instance group: formatted if blank, and mounted."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext, Profile
from nodeup.resources.kinds import AnyResource
from nodeup.resources.mount import FormattedVolume


def plan_volumes(context: PlanContext) -> Iterator[AnyResource]:
    """Plan a resource for each of VolumeMounts.

    kops does this while it still plans, also in a dry run, so that its plans hold nothing of it; neither do ours in its profile.
    `formatOptions` is not used, as kops does not use it.
    """
    if context.profile is Profile.KOPS:
        return
    for volume in context.spec.config.sections("VolumeMounts"):
        yield FormattedVolume(
            device=volume.text("device"),
            path=volume.text("path"),
            filesystem=volume.text("filesystem"),
            mount_options=volume.texts("mountOptions"),
        )
