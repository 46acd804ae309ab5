"""The explanation of one thing, put together: its value, what gives it that value, who planned it, and what follows a change of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agents.errors import AgentError
from nodeup.explain.leaves import Leaf, with_value
from nodeup.explain.measure import Influence, by_line, influences, lines_of
from nodeup.explain.target import Target, made_by, text_of
from nodeup.explain.variations import Source, Variation, configured, of_configuration, variations
from nodeup.planners import context_of
from nodeup.planners.context import PlanContext
from nodeup.planners.table import Planner
from nodeup.resources.content import Literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.resources.unit import Unit
from nodeup.session import Session

#: What a field that is not set is set to, to see whether it matters: of each kind something that most planners take.
_PROBES: tuple[object, ...] = (7, "7", True, "explained", ["explained"], {"explained": "true"}, "7m0s", "10.203.0.9")
#: How many influences stand beside one line of a file.
MOST_BESIDE_A_LINE = 3
_OUR_DEFAULT = "nodeup's own default: no field of the specification and no fact changes it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is known of a target."""

    target: Target
    #: None where it is not there, or not set.
    value: str | None
    #: Whether `value` is a text of lines that may be shown line by line.
    has_lines: bool
    influences: tuple[Influence[str | None], ...]
    #: Fields of nodeup.Config that would set it; only looked for where it has no value.
    would_set: tuple[str, ...]
    #: Where nodeup.Config comes from.
    document: str
    #: "kubelet.service is restarted", "kubelet starts the pod anew".
    consequences: tuple[str, ...]

    @property
    def text(self) -> str:
        """For people."""
        return "\n".join(self._lines())

    @property
    def json(self) -> dict[str, object]:
        """For programs."""
        return {
            "name": self.target.name,
            "value": self.value if self.has_lines or len(self.target.resources) == 1 else None,
            "planner": self.target.planner.builder or self.target.planner.plan.__name__,
            "resources": list(self.target.resources),
            "document": self.document,
            "from": [_document(one) for one in self._mattering],
            "checked": [_document(one) for one in self.influences if one.is_checked_only],
            "wouldBeSetBy": list(self.would_set),
            "consequences": list(self.consequences),
        }

    @property
    def _mattering(self) -> tuple[Influence[str | None], ...]:
        return tuple(one for one in self.influences if not one.is_checked_only)

    def _lines(self) -> Iterator[str]:
        planner = self.target.planner
        yield f"{self.target.name}{'' if self.has_lines else f' = {self.value}' if self.value is not None else ' is not set'}"
        if self.has_lines and self.value is not None:
            yield from self._annotated(self.value)
        else:
            yield from (f"  ← {one.text}" for one in self._mattering)
            if not self._mattering:
                yield f"  ← {_OUR_DEFAULT}" if self.value is not None else "  the program's own default holds"
        yield from (f"  {path} would set it" for path in self.would_set)
        yield f"  planned by {planner.builder or planner.plan.__name__} ({planner.plan.__module__}), in {', '.join(self.target.resources)}"
        if any(one.source is Source.CONFIGURATION for one in self._mattering) or self.would_set:
            yield f"  nodeup configuration: {self.document}"
        yield from (f"  when it changes, {consequence}" for consequence in self.consequences)

    def _annotated(self, value: str) -> Iterator[str]:
        beside = by_line(value, self._mattering)
        for index, line in enumerate(lines_of(value)):
            found = beside.get(index, ())
            names = [one.text for one in found[:MOST_BESIDE_A_LINE]]
            more = f", and {len(found) - len(names)} more" if len(found) > len(names) else ""
            yield _beside(line, names, more)
        elsewhere = [one for one in self._mattering if not any(one in ones for ones in beside.values())]
        yield from (f"  ← {one.text} (adds lines, or decides whether it is there)" for one in elsewhere)
        yield "  lines without an arrow are nodeup's own: nothing in the specification, and no fact, changes them"


def answer(target: Target, context: PlanContext, session: Session, plan: Mapping[str, tuple[Planner, AnyResource]]) -> Answer:
    """Measure a target."""
    value = target.project(context)
    found = influences(value, target.project, variations(context, with_manifests=_reads_manifests(target, value, context)))
    _, resource = plan[target.resources[0]]
    whole = target.name == resource.id
    boot = session.spec.boot
    return Answer(
        target=target,
        value=_shown_value(value, resource) if whole else value,
        has_lines=whole and _has_shown_text(resource),
        influences=found,
        would_set=_would_set(target, context) if value is None else (),
        document=f"{boot.config_url or 'kops-controller'}: the cluster's spec and that of {boot.instance_group}, merged by kops",
        consequences=tuple(_consequences(plan[one][1] for one in target.resources)) + tuple(_restarts(target, session, plan)),
    )


def affected(path: str, context: PlanContext) -> tuple[Variation, Mapping[str, Sequence[str]]] | None:
    """Return a field of nodeup.Config and, by resource, the lines that other values of it change; None where there is no such field."""
    one = next((one for one in of_configuration(context) if one.path.casefold() == path.casefold()), None)
    if one is None:
        return None
    before = {name: text_of(resource) for name, (_, resource) in made_by(context).items()}

    def project(changed: PlanContext) -> dict[str, str]:
        return {name: text_of(resource) for name, (_, resource) in made_by(changed).items()}

    found: dict[str, list[str]] = {}
    for influence in influences(before, project, [one]):
        for after in influence.results:
            for name in before.keys() | after.keys():
                if before.get(name) != after.get(name):
                    gone = set(lines_of(after.get(name, "")))
                    found.setdefault(name, []).extend(line for line in lines_of(before.get(name, "")) if line not in gone)
    return one, {name: tuple(dict.fromkeys(lines)) for name, lines in sorted(found.items())}


def _reads_manifests(target: Target, value: str | None, context: PlanContext) -> bool:
    """Whether the planner reads manifests at all: one that does fails without them. There are many leaves in them, and YAML is slow."""
    blind = context_of(replace(context.spec, manifests={}), context.facts, context.profile)
    try:
        return target.project(blind) != value
    except AgentError:
        return True


def _beside(line: str, names: Sequence[str], more: str) -> str:
    return f"  {line}   ← {'; '.join(names)}{more}" if names and line.strip() else f"  {line}".rstrip()


def _document(one: Influence[str | None]) -> dict[str, object]:
    return {"source": one.source.value, "path": one.path, "value": one.value}


def _has_shown_text(resource: AnyResource) -> bool:
    match resource:
        case File(content=Literal()):
            return True
        case Unit():
            return resource.definition is not None
        case _:
            return False


def _shown_value(value: str | None, resource: AnyResource) -> str | None:
    """Return the text of a file or unit; of all else nothing is shown but what the engine shows of it."""
    return value if _has_shown_text(resource) else "(not shown: it holds a secret, or is made of other resources)"


def _would_set(target: Target, context: PlanContext) -> tuple[str, ...]:
    """Return the fields that would give it a value: each is set to something, and the target looked at again."""
    found = []
    document = dict(context.spec.config.fields)
    for path in target.settable:
        made = tuple(_probe(context, with_value(document, path, probe)) for probe in _PROBES)
        trial = Variation(source=Source.CONFIGURATION, path=Leaf(path, None).text, value="", made=made)
        found += [one.path for one in influences(None, target.project, [trial]) if not one.is_checked_only]
    return tuple(found)


def _probe(context: PlanContext, document: object) -> Callable[[], PlanContext]:
    return lambda: configured(context, document)


def _consequences(resources: Iterator[AnyResource]) -> Iterator[str]:
    for resource in resources:
        if not isinstance(resource, File):
            continue
        if resource.path.startswith("/etc/kubernetes/manifests/"):
            yield "kubelet starts the pod anew"
        yield from (f"`{' '.join(argv)}` is run" for argv in resource.on_change)


def _restarts(target: Target, session: Session, plan: Mapping[str, tuple[Planner, AnyResource]]) -> Iterator[str]:
    """Yield the units that are restarted because they were started with what this file holds."""
    directory = session.facts.distribution.unit_directory
    paths = {one.partition(":")[2] for one in target.resources if one.startswith("file:")}
    for _, step in plan.values():
        if not isinstance(step, Unit):
            continue
        inputs = set(step.inputs(step.definition or "", f"{directory}/{step.full_name}"))
        if step.running and (paths & inputs or step.id in target.resources):
            yield f"{step.full_name} is restarted"
