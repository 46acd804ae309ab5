"""Extra volumes of an instance group: formatted if blank, and mounted."""

from __future__ import annotations

from collections.abc import Iterator

from agents.errors import SpecError
from nodeup.planners.context import PlanContext, Profile
from nodeup.resources.kinds import AnyResource
from nodeup.resources.mount import FormattedVolume

#: What kops formats with where it is not told (Kubernetes' mount-utils).
_DEFAULT_FILESYSTEM = "ext4"


def plan_volumes(context: PlanContext) -> Iterator[AnyResource]:
    """Plan a resource for each of VolumeMounts.

    kops does this while it still plans, also in a dry run, so that its plans hold nothing of it; neither do ours in its profile.
    kops does not use `formatOptions`, and neither formats with the wrong ones nor says so.
    """
    if context.profile is Profile.KOPS:
        return
    for volume in context.spec.config.sections("VolumeMounts"):
        device, path = volume.text("device"), volume.text("path")
        if not device.startswith("/") or not path.startswith("/"):
            raise SpecError(f"{volume.path}: wanted absolute paths for device and path, found {device!r} and {path!r}")
        yield FormattedVolume(
            device=device,
            path=path,
            filesystem=volume.text("filesystem", _DEFAULT_FILESYSTEM),
            mount_options=volume.texts("mountOptions"),
            format_options=volume.texts("formatOptions"),
        )
