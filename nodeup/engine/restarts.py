"""Which running units a plan will restart because of files that it is going to change; pure.

Applying needs none of this: it compares what a unit was started with. A plan has to tell beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nodeup.engine.diff import Difference
from nodeup.engine.graph import Step
from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.file import File
from nodeup.resources.former import FormerFile
from nodeup.resources.image import ImageFiles
from nodeup.resources.unit import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A unit that runs and will be restarted."""

    unit: str
    because: str


def restarts(steps: Sequence[Step], differences: Sequence[Difference], *, unit_directory: str) -> tuple[Restart, ...]:
    """Return the units that run now and will be restarted, in the plan's order."""
    changing = {difference.id: difference for difference in differences}
    files = tuple(difference.desired for difference in differences)
    found = []
    for step in steps:
        if isinstance(step, Unit) and step.running:
            because = _reason(step, changing, files, unit_directory)
            if because:
                found.append(Restart(unit=step.full_name, because=because))
    return tuple(found)


def _reason(unit: Unit, changing: Mapping[str, Difference], files: Iterable[Step], unit_directory: str) -> str:
    difference = changing.get(unit.id)
    if difference is not None:
        actual = difference.actual
        if not isinstance(actual, Unit) or not actual.running:
            return ""  # it does not run: this is a start
        if actual.stale:
            return actual.stale
        if any(change.field == "definition" for change in difference.changes):
            return "its unit file changes"
    inputs = unit.inputs(unit.definition or "", f"{unit_directory}/{unit.full_name}")
    changed = [path for path in inputs if any(_brings(step, path) for step in files)]
    return f"{', '.join(changed)} changes" if changed else ""


def _brings(step: Step, path: str) -> bool:
    match step:
        case File() | FormerFile():
            return step.path == path
        case ArchiveMembers() | ImageFiles():
            return path.startswith(f"{step.directory.rstrip('/')}/")
        case _:
            return False
