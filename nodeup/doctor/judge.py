"""From a view to ranked findings, and a list of what could not be looked at. Pure, and total: it never fails, whatever the view."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from nodeup.doctor.rules import RULES
from nodeup.doctor.rules.rule import Found
from nodeup.doctor.view import Area, NodeView, Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong, by which rule."""

    rule: str
    area: Area
    found: Found


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything that the doctor has to say, the worst first; of equally bad things the likelier cause first."""

    findings: tuple[Finding, ...]
    #: (what, why) of what could not be looked at: "disk.filesystems", "cannot run df".
    unseen: tuple[tuple[str, str], ...]

    @property
    def lines(self) -> Iterator[str]:
        """For people."""
        for finding in self.findings:
            found = finding.found
            yield f"{'!!' if found.severity.name == 'CRITICAL' else ' !'} {finding.rule}  {found.says}"
            yield f"     seen: {found.evidence}"
            yield f"     fix:  {found.fix}"
        for what, why in self.unseen:
            yield f" ? {what} could not be looked at: {why}"
        count = len(self.findings)
        yield f"{count or 'no'} finding{'' if count == 1 else 's'} by {len(RULES)} rules"

    @property
    def document(self) -> dict[str, object]:
        """For programs."""
        return {
            "items": [
                {
                    "rule": finding.rule,
                    "area": finding.area.value,
                    "severity": finding.found.severity.name.lower(),
                    "message": finding.found.says,
                    "evidence": finding.found.evidence,
                    "fix": finding.found.fix,
                }
                for finding in self.findings
            ],
            "unseen": [{"what": what, "why": why} for what, why in self.unseen],
        }


def diagnose(view: NodeView) -> Diagnosis:
    """Return what all rules find, and what they could not see."""
    found = [Finding(rule=rule.id, area=rule.area, found=one) for rule in RULES for one in rule.check(view)]
    # Sorting is stable: within a severity the order of RULES stays.
    return Diagnosis(findings=tuple(sorted(found, key=lambda one: one.found.severity)), unseen=tuple(_unseen(view)))


def _unseen(view: NodeView) -> Iterator[tuple[str, str]]:
    for area in fields(view):
        part = getattr(view, area.name)
        if area.name == "now":
            continue
        for one in fields(part):
            value = getattr(part, one.name)
            if isinstance(value, Unknown) and value.reason:
                yield f"{area.name}.{one.name}", value.reason
