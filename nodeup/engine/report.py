"""What a plan and a run say to people and to programs; pure, and no secret ever gets in."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nodeup.engine.converge import Outcome, Result, Status
from nodeup.engine.diff import Difference, FieldChange, shown
from nodeup.engine.graph import Step
from nodeup.engine.restarts import Restart, restarts
from nodeup.resources.asset import Asset
from nodeup.resources.certificate import TAKEN_OVER, BootstrapCertificates, Certificate, Kubeconfig
from nodeup.resources.content import Found, Literal
from nodeup.resources.file import File
from nodeup.resources.former import FormerFile, FormerUnit
from nodeup.resources.image import ImageFiles
from nodeup.resources.unit import Unit

#: A diff longer than this is cut; --json has it whole.
LONGEST_DIFF_LINES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """What a plan would do."""

    differences: tuple[Difference, ...]
    unreadable: tuple[Outcome, ...]
    restarts: tuple[Restart, ...]

    @property
    def changes(self) -> tuple[Difference, ...]:
        """The differences of things on the machine: without downloads and without texts that only exist in memory."""
        return tuple(difference for difference in self.differences if not isinstance(difference.desired, Asset | Kubeconfig))

    @property
    def downloads(self) -> tuple[Difference, ...]:
        """What would be fetched."""
        return tuple(difference for difference in self.differences if isinstance(difference.desired, Asset | ImageFiles))

    @property
    def is_empty(self) -> bool:
        """Whether the machine is as it should be."""
        return not self.changes and not self.restarts and not self.unreadable

    @property
    def summary(self) -> str:
        """One line with the counts."""
        counts = [(len(self.changes), "change"), (len(self.restarts), "restart"), (len(self.downloads), "download")]
        text = ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)
        return f"{text}, {len(self.unreadable)} not readable." if self.unreadable else f"{text}."


def plan_report(steps: Sequence[Step], outcomes: Sequence[Outcome], *, unit_directory: str) -> PlanReport:
    """Return what follows from having read every step."""
    differences = tuple(outcome.difference for outcome in outcomes if outcome.difference is not None)
    return PlanReport(
        differences=differences,
        unreadable=tuple(outcome for outcome in outcomes if outcome.status is Status.FAILED),
        restarts=restarts(steps, differences, unit_directory=unit_directory),
    )


def plan_lines(report: PlanReport, *, with_diffs: bool = True) -> Iterator[str]:
    """Yield the plan for people: + made, ~ changed, - removed, ↓ fetched, ↻ restarted, ! not readable."""
    for difference in report.differences:
        if isinstance(difference.desired, Kubeconfig):
            continue
        yield _headline(difference)
        if with_diffs:
            yield from _cut(list(_content_diff(difference)))
    for restart in report.restarts:
        yield f"↻ {restart.unit} restart, because {restart.because}"
    for outcome in report.unreadable:
        yield f"! {outcome.id} cannot be read: {outcome.error}"
    yield report.summary


def plan_document(report: PlanReport) -> dict[str, object]:
    """Return the plan for programs."""
    return {
        "apiVersion": "node-agents/v1",
        "kind": "NodePlan",
        "items": [_difference_document(difference) for difference in report.differences],
        "restarts": [{"unit": restart.unit, "because": restart.because} for restart in report.restarts],
        "unreadable": [{"id": outcome.id, "error": str(outcome.error)} for outcome in report.unreadable],
        "summary": {"changes": len(report.changes), "restarts": len(report.restarts), "downloads": len(report.downloads)},
    }


def result_lines(result: Result) -> Iterator[str]:
    """Yield what a run did: changes, then what failed and what was skipped for it."""
    for outcome in result.with_status(Status.CHANGED):
        difference = outcome.difference
        yield f"{_headline(difference) if difference else outcome.id}  ({outcome.duration.total_seconds():.1f} s)"
    for outcome in result.with_status(Status.FAILED):
        yield f"✗ {outcome.id}: {outcome.error}"
        if outcome.error is not None and outcome.error.hint:
            yield f"    hint: {outcome.error.hint}"
    for outcome in result.with_status(Status.SKIPPED):
        yield f"- {outcome.id}: skipped, {outcome.reason}"
    yield result_summary(result)


def result_summary(result: Result) -> str:
    """Return one line with counts and the time; it begins with "0 changes" where nothing had to be done."""
    counts = Counter(outcome.status for outcome in result.outcomes)
    changes = f"{counts[Status.CHANGED]} change{'' if counts[Status.CHANGED] == 1 else 's'}"
    others = [f"{counts[status]} {status.value}" for status in Status if counts[status] and status is not Status.CHANGED]
    return f"{', '.join([changes, *others])} in {result.duration.total_seconds():.1f} s"


def result_document(result: Result) -> dict[str, object]:
    """Return a run for programs."""
    return {
        "apiVersion": "node-agents/v1",
        "kind": "NodeRun",
        "complete": result.is_complete,
        "durationSeconds": round(result.duration.total_seconds(), 3),
        "items": [_outcome_document(outcome) for outcome in result.outcomes if outcome.status is not Status.UNCHANGED],
        "timeline": timeline(result),
    }


def timeline(result: Result) -> list[dict[str, object]]:
    """Return, for each kind of step, when the first began, when the last ended and how many changed: where the time went."""
    kinds: dict[str, list[Outcome]] = {}
    for outcome in result.outcomes:
        name = outcome.id if outcome.id.startswith("unit:") else outcome.id.partition(":")[0]
        kinds.setdefault(name, []).append(outcome)
    rows = []
    for name, outcomes in kinds.items():
        begin = min(outcome.started for outcome in outcomes).total_seconds()
        end = max(outcome.started + outcome.duration for outcome in outcomes).total_seconds()
        changed = sum(outcome.status is Status.CHANGED for outcome in outcomes)
        rows.append({"phase": name, "from": round(begin, 3), "to": round(end, 3), "steps": len(outcomes), "changed": changed})
    return sorted(rows, key=lambda row: (row["from"], row["phase"]))


def _headline(difference: Difference) -> str:
    step = difference.desired
    kind, _, name = step.id.partition(":")
    match step:
        case Asset():
            return f"↓ {step.url}"
        case FormerFile() | FormerUnit():
            return _former_text(step, difference.actual)
        case Certificate() | BootstrapCertificates():
            return f"{'+' if difference.is_creation else '~'} {_issuance(step, difference.actual)}"
        case _ if difference.is_creation:
            return f"+ {kind} {_creation(step, name)}"
        case _:
            return f"~ {kind} {name}  {'; '.join(_change_text(change) for change in difference.changes)}"


def _creation(step: Step, name: str) -> str:
    match step:
        case File():
            return f"{name}  ({shown(step.content)})"
        case Unit():
            return f"{step.full_name}{' (enabled)' if step.enabled else ''}{' (started)' if step.running else ''}"
        case _:
            return f"{name}{_names(step)}"


def _former_text(step: FormerFile | FormerUnit, actual: object) -> str:
    kind, name = ("file", step.path) if isinstance(step, FormerFile) else ("unit", step.name)
    found = actual.found if isinstance(actual, FormerFile | FormerUnit) else ""
    if step.version is not None:
        return f"~ {kind} {name}  {step.reason}: back to what was there before"
    return f"- {kind} {name}  {step.reason}{f': {found}' if found not in {'', step.reason} else ''}"


def _issuance(step: Certificate | BootstrapCertificates, actual: object) -> str:
    defect = actual.defect if isinstance(actual, Certificate | BootstrapCertificates) else ""
    if defect == TAKEN_OVER:
        names = step.name if isinstance(step, Certificate) else ", ".join(step.names)
        return f"certificate {names}: keep what kops' own nodeup left"
    if isinstance(step, Certificate):
        return f"certificate {step.name}: issue it, because {defect or 'there is none yet'}"
    return f"certificates {', '.join(step.names)}: ask kops-controller, because {defect or 'there are none yet'}"


def _names(step: Step) -> str:
    names = getattr(step, "names", ())
    return f": {', '.join(names)}" if names else ""


def _change_text(change: FieldChange) -> str:
    if change.field == "names" and isinstance(change.desired, tuple) and isinstance(change.actual, tuple):
        return f"missing: {', '.join(str(name) for name in change.desired if name not in change.actual)}"
    if change.field == "on_change":
        return f"an interrupted run still has to execute {shown(change.desired)}"
    if change.field == "mode" and isinstance(change.actual, int) and isinstance(change.desired, int):
        return f"mode {change.actual:04o} → {change.desired:04o}"
    if change.field == "definition":
        return "its unit file changes"
    if change.field in {"stale", "defect", "differing", "unready"}:
        return shown(change.actual)
    return f"{change.field} {shown(change.actual)} → {shown(change.desired)}"


def _content_diff(difference: Difference) -> Iterator[str]:
    """Yield a unified diff of a text that changes, where both sides may be shown."""
    for change in difference.changes:
        before, after = _shown_texts(change)
        if before is None or after is None:
            continue
        for line in difflib.unified_diff(before.splitlines(), after.splitlines(), "now", "wanted", lineterm="", n=2):
            yield f"    {line}"


def _shown_texts(change: FieldChange) -> tuple[str | None, str | None]:
    if isinstance(change.actual, Found) and isinstance(change.desired, Literal) and change.actual.content is not None:
        return _text(change.actual.content), _text(change.desired.content)
    if change.field == "definition" and isinstance(change.actual, str) and isinstance(change.desired, str):
        return change.actual, change.desired
    return None, None


def _text(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _cut(lines: list[str]) -> list[str]:
    if len(lines) <= LONGEST_DIFF_LINES:
        return lines
    return [*lines[:LONGEST_DIFF_LINES], f"    … {len(lines) - LONGEST_DIFF_LINES} more lines; --json has them all"]


def _difference_document(difference: Difference) -> dict[str, object]:
    changes = [{"field": c.field, "actual": shown(c.actual), "desired": shown(c.desired)} for c in difference.changes]
    document: dict[str, object] = {
        "id": difference.id,
        "action": _action(difference),
        "text": _headline(difference),
        "changes": changes,
    }
    diff = [line[4:] for line in _content_diff(difference)]
    return {**document, "diff": diff} if diff else document


def _action(difference: Difference) -> str:
    match difference.desired:
        case FormerFile(version=None) | FormerUnit(version=None):
            return "remove"
        case _:
            return "create" if difference.is_creation else "change"


def _outcome_document(outcome: Outcome) -> dict[str, object]:
    document: dict[str, object] = {
        "id": outcome.id,
        "status": outcome.status.value,
        "startedSeconds": round(outcome.started.total_seconds(), 3),
        "durationSeconds": round(outcome.duration.total_seconds(), 3),
    }
    if outcome.difference is not None:
        document["text"] = _headline(outcome.difference)
    if outcome.error is not None:
        document["error"] = {"code": outcome.error.code, "message": str(outcome.error), "hint": outcome.error.hint}
    if outcome.reason:
        document["reason"] = outcome.reason
    return document
