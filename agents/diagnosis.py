"""What every `doctor` says: rules that look at a frozen view, what they find, and what nobody could look at. Pure, and total.

view  = examine(…)                      effects; a part that cannot be looked at is Unknown in it
found = diagnose(RULES, view)           pure; the worst first, of equally bad things the earlier rule's
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum, IntEnum
from typing import Generic, TypeVar, Union

from agents.errors import AgentError


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that could not be looked at, and why."""

    reason: str


Value = TypeVar("Value")
View = TypeVar("View")
Observed = Union[Value, Unknown]  # noqa: UP007 - an alias with a type variable cannot be written with | before Python 3.12

#: Of a field that nobody asked for, or that is not to be had here; it is never reported.
NOT_LOOKED_AT = Unknown("")


def attempt(look: Callable[[], Value]) -> Observed[Value]:
    """Return what a look shows, or why it failed: every error of ours, of the machine and of a text that is not what was expected."""
    try:
        return look()
    except AgentError as error:
        return Unknown(" ".join(str(error).split()) or type(error).__name__)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return Unknown(f"{type(error).__name__}: {error}")


class Severity(IntEnum):
    """How bad it is; the lower the worse."""

    #: It does not work, or is about to stop, or could not be repaired if it did.
    CRITICAL = 0
    #: It works, and someone should look.
    WARNING = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a rule found: a sentence, what shows it, and the command or deed that repairs it or leads on."""

    severity: Severity
    says: str
    evidence: str
    fix: str


def critical(says: str, *, evidence: str, fix: str) -> Found:
    """Return a finding that cannot wait."""
    return Found(severity=Severity.CRITICAL, says=says, evidence=evidence, fix=fix)


def warning(says: str, *, evidence: str, fix: str) -> Found:
    """Return a finding that someone should look at."""
    return Found(severity=Severity.WARNING, says=says, evidence=evidence, fix=fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Generic[View]):
    """One rule. Ids are never used again for another; the title says what is wrong when it finds something."""

    id: str
    title: str
    check: Callable[[View], Iterator[Found]]
    #: What it is about; None where a doctor has no areas.
    area: Enum | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong, by which rule."""

    rule: str
    found: Found
    area: Enum | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything that a doctor has to say."""

    findings: tuple[Finding, ...]
    #: (what, why) of what could not be looked at.
    unseen: tuple[tuple[str, str], ...]
    rules: int

    @property
    def lines(self) -> Iterator[str]:
        """For people."""
        for finding in self.findings:
            found = finding.found
            yield f"{'!!' if found.severity is Severity.CRITICAL else ' !'} {finding.rule}  {found.says}"
            yield f"     seen: {found.evidence}"
            yield f"     fix:  {found.fix}"
        for what, why in self.unseen:
            yield f" ? {what} could not be looked at: {why}"
        count = len(self.findings)
        yield f"{count or 'no'} finding{'' if count == 1 else 's'} by {self.rules} rules"

    @property
    def document(self) -> dict[str, object]:
        """For programs."""
        return {
            "items": [
                {
                    "rule": finding.rule,
                    **({} if finding.area is None else {"area": finding.area.value}),
                    "severity": finding.found.severity.name.lower(),
                    "message": finding.found.says,
                    "evidence": finding.found.evidence,
                    "fix": finding.found.fix,
                }
                for finding in self.findings
            ],
            "unseen": [{"what": what, "why": why} for what, why in self.unseen],
        }


def diagnose(rules: Sequence[Rule[View]], view: View) -> Diagnosis:
    """Return what all rules find, and what they could not see."""
    found = [Finding(rule=rule.id, found=one, area=rule.area) for rule in rules for one in rule.check(view)]
    # Sorting is stable: within a severity the order of the rules stays.
    return Diagnosis(findings=tuple(sorted(found, key=lambda one: one.found.severity)), unseen=tuple(_unseen(view)), rules=len(rules))


def _unseen(view: object) -> Iterator[tuple[str, str]]:
    """Yield the Unknowns of a view's parts, as "part.field"."""
    for part in _parts(view):
        for name, value in _parts_of(getattr(view, part)):
            if isinstance(value, Unknown) and value.reason:
                yield f"{part}.{name}", value.reason


def _parts(view: object) -> Iterator[str]:
    assert is_dataclass(view)  # noqa: S101  what every doctor hands in
    yield from (one.name for one in fields(view))


def _parts_of(part: object) -> Iterator[tuple[str, object]]:
    if is_dataclass(part) and not isinstance(part, type):
        yield from ((one.name, getattr(part, one.name)) for one in fields(part))
