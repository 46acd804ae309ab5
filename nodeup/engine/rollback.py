"""From the history to a graph that puts files and units back to as they were before a run; pure, but for the texts it is handed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agents.errors import NotFoundError
from nodeup.engine.graph import Graph, build_graph
from nodeup.engine.history import Change, Run
from nodeup.resources.former import FormerFile, FormerUnit, Version
from nodeup.resources.unit import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsNow:
    """What the machine says of its units."""

    #: By unit: the paths of the inputs that it was last started with.
    inputs: Mapping[str, tuple[str, ...]]
    #: Names of those that run.
    running: frozenset[str]


def chosen_run(runs: Sequence[Run], wanted: str) -> Run:
    """Return the run to go back before: the one with this id, or whose id begins with it; "" is the newest. NotFoundError without one."""
    found = [run for run in runs if run.id.startswith(wanted)]
    if wanted and len(found) > 1 and all(run.id != wanted for run in found):
        raise NotFoundError(f"{wanted} may be {', '.join(run.id for run in found)}; say more of it")
    exact = [run for run in found if run.id == wanted]
    if not found:
        kept = ", ".join(run.id for run in runs) or "none"
        raise NotFoundError(f"there is no run {wanted or 'that changed something'} to go back before; kept are: {kept}")
    return exact[0] if exact else found[-1]


def rollback_graph(runs: Sequence[Run], target: Run, *, units: UnitsNow | None, text_of: Callable[[Version], str]) -> Graph:
    """Return the steps back to before `target`, which undo all runs since, too; a thing that several changed is as before the first.

    `units` is None for a directory: there are only files, and no commands.
    """
    first: dict[str, Change] = {}
    for run in runs:
        if run.id >= target.id:
            for change in run.changes:
                first.setdefault(change.key, change)
    reason = f"as before run {target.id}"
    if units is None:
        return build_graph((), (), [_former_file(change, reason, ()) for change in first.values() if change.path])
    former: list[FormerFile | FormerUnit] = []
    back: list[Unit] = []
    for change in first.values():
        match _former(change, reason, units, text_of):
            case Unit() as unit:
                back.append(unit)
            case step:
                former.append(step)
    handled = {unit.full_name for unit in back} | {step.name for step in former if isinstance(step, FormerUnit)}
    restarted = [
        Unit(name=name, running=True, restart_on=inputs)
        for name, inputs in sorted(units.inputs.items())
        if name in units.running and name not in handled and first.keys() & set(inputs)
    ]
    return build_graph((*back, *restarted), (), former)


def _former(change: Change, reason: str, units: UnitsNow, text_of: Callable[[Version], str]) -> FormerFile | FormerUnit | Unit:
    if not change.unit:
        return _former_file(change, reason, change.on_change)
    was_ours_alone = change.path and change.before is None
    if was_ours_alone or (not change.path and change.owned and not change.was_enabled and not change.was_running):
        return FormerUnit(name=change.unit, path=change.path, reason=reason)
    return Unit(
        name=change.unit,
        definition=text_of(change.before) if change.before is not None else None,
        enabled=change.was_enabled,
        running=change.was_running,
        restart_on=units.inputs.get(change.unit, ()),
    )


def _former_file(change: Change, reason: str, on_change: tuple[tuple[str, ...], ...]) -> FormerFile:
    return FormerFile(path=change.path, version=change.before, reason=reason, on_change=on_change, owned=change.owned)
