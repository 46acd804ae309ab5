"""A rule of the doctor, and what it finds. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from nodeup.doctor.view import Area, NodeView


class Severity(IntEnum):
    """How bad it is; the lower the worse."""

    #: The node cannot work, or is about to stop.
    CRITICAL = 0
    #: It works, and someone should look.
    WARNING = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a rule found: a sentence, the line that shows it, and the command that repairs it or leads on."""

    severity: Severity
    says: str
    evidence: str
    fix: str


Check = Callable[[NodeView], Iterator[Found]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. Ids are never used again for another."""

    id: str
    area: Area
    #: What is wrong when it finds something, for the table in docs/nodeup.md.
    title: str
    check: Check


def critical(says: str, *, evidence: str, fix: str) -> Found:
    """Return a finding without which the node cannot work."""
    return Found(severity=Severity.CRITICAL, says=says, evidence=evidence, fix=fix)


def warning(says: str, *, evidence: str, fix: str) -> Found:
    """Return a finding that someone should look at."""
    return Found(severity=Severity.WARNING, says=says, evidence=evidence, fix=fix)
