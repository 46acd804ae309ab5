"""All planners, in the order in which kops runs its builders; a planner's name there is kept for the conformance tests.

The order decides nothing but which of two equal resources comes first: what depends on what is in `nodeup.engine.graph`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nodeup.planners.context import PlanContext
from nodeup.resources.kinds import AnyResource

Plan = Callable[[PlanContext], Iterator[AnyResource]]


@dataclass(frozen=True, slots=True)
class Planner:
    """A planner and the name of the builder that makes the same things in kops."""

    builder: str
    plan: Plan


#: Add yours at its place in kops' order (reference, section 4).
PLANNERS: tuple[Planner, ...] = ()
