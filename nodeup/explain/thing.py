"""Where a thing on the node comes from: which planner asked for it, what it waits for and by which rule, what waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from nodeup.engine.diff import shown
from nodeup.engine.graph import Dependency, Graph, Step
from nodeup.planners import context_of, planned
from nodeup.planners.context import Profile
from nodeup.planners.table import PLANNERS
from nodeup.session import Session

#: What a field shows that has its default; --json has it.
_SAYS_NOTHING = ("None", "none", "False", "", '""')


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One thing, explained."""

    step: Step
    #: kops' name for the planner; "" for what the engine adds (assets, the set of packages).
    builder: str
    after: tuple[Dependency, ...]
    before: tuple[str, ...]

    @property
    def text(self) -> str:
        """For people."""
        lines = [f"{self.step.id}  planned by {self.builder or 'the engine'}"]
        shown_fields = ((field.name, shown(getattr(self.step, field.name))) for field in fields(self.step))
        lines += [f"  {name}: {value}" for name, value in shown_fields if value not in _SAYS_NOTHING]
        lines += [f"  waits for {dependency.on}, because {dependency.rule}" for dependency in self.after]
        return "\n".join([*lines, *(f"  {name} waits for it" for name in self.before)])

    @property
    def document(self) -> dict[str, object]:
        """For programs."""
        return {
            "id": self.step.id,
            "builder": self.builder,
            "fields": {field.name: shown(getattr(self.step, field.name)) for field in fields(self.step)},
            "waitsFor": [{"id": dependency.on, "because": dependency.rule} for dependency in self.after],
            "waitedForBy": list(self.before),
        }


def explain(thing: str, session: Session, profile: Profile) -> Sequence[Explanation]:
    """Return what is named just so ("file:/etc/hosts", "/etc/hosts", "kubelet.service"), else what has it in its name."""
    builders = {step.id: builder for builder, step in planned(context_of(session.spec, session.facts, profile), PLANNERS)}
    exact = [step for step in session.graph.steps if thing in {step.id, step.id.partition(":")[2]}]
    found = exact or [step for step in session.graph.steps if thing in step.id]
    return [_explanation(step, session.graph, builders.get(step.id, "")) for step in found]


def _explanation(step: Step, graph: Graph, builder: str) -> Explanation:
    before = tuple(name for name, earlier in graph.dependencies.items() if any(dependency.on == step.id for dependency in earlier))
    return Explanation(step=step, builder=builder, after=graph.dependencies[step.id], before=before)
