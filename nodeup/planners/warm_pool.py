"""An instance in a warm pool pulls images before it is needed."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.resources.image import PulledImage
from nodeup.resources.kinds import AnyResource


def plan_warm_pool(context: PlanContext) -> Iterator[AnyResource]:
    """Plan a pull of each image, while the instance is warming up and only then."""
    if context.is_warming:
        yield from (PulledImage(name=image) for image in context.spec.config.texts("warmPoolImages"))
