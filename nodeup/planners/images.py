"""Container images that come as tarballs: of builds that are in no registry."""

from __future__ import annotations

from collections.abc import Iterator

from agents.errors import SpecError
from nodeup.planners.context import PlanContext
from nodeup.resources.image import ImageArchive
from nodeup.resources.kinds import AnyResource


def plan_images(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the loading of each image for this architecture."""
    for image in context.spec.config.section("images").sections(context.facts.architecture):
        sources = image.texts("sources")
        if not sources or not image.text("hash"):
            raise SpecError(
                f"{image.path}: wanted sources (URLs) and their hash, found {len(sources)} sources, hash {image.text('hash')!r}"
            )
        yield ImageArchive(sources=sources, hash=image.text("hash"))
