"""Container images that come as tarballs: of builds that are in no registry."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.resources.image import ImageArchive
from nodeup.resources.kinds import AnyResource


def plan_images(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the loading of each image for this architecture."""
    for image in context.spec.config.section("images").sections(context.facts.architecture):
        yield ImageArchive(sources=image.texts("sources"), hash=image.text("hash"))
