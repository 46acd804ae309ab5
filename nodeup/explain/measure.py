"""Which inputs of a plan give something its value: each input is changed, and the part of the plan in question made again. Pure.

Planners are pure and fast (a whole plan of a control plane takes 20 ms, one planner 1 to 8), so this is a measurement and no table that
must be kept right by hand: an input matters if, and only if, another value of it makes another result. Tracking which fields are *read* was
rejected: planners read in one place and yield in another, and read much that does not matter. What a measurement cannot see: an input that
matters only together with another one that has another value now, and one all of whose tried values a planner refuses (those are listed as
"checked").
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from agents.errors import AgentError
from nodeup.explain.variations import Source, Variation
from nodeup.planners.context import PlanContext

Value = TypeVar("Value")

#: Lines of a text; a long line of flags (an environment file) counts as many.
_LINES = re.compile(r"\n| (?=--)|(?<=\")(?=--)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence(Generic[Value]):
    """An input that matters."""

    source: Source
    path: str
    #: Its value; "" where it is not shown.
    value: str
    #: What came out for other values of it; empty where all of these were refused.
    results: tuple[Value, ...] = field(repr=False)

    @property
    def is_checked_only(self) -> bool:
        """Whether all that is known is that other values are refused."""
        return not self.results

    @property
    def text(self) -> str:
        """For people."""
        where = "" if self.source is Source.CONFIGURATION else f"{self.source.value} "
        value = f" = {self.value}" if self.value else ""
        return f"{where}{self.path}{value}"


def influences(base: Value, project: Callable[[PlanContext], Value], inputs: Iterable[Variation]) -> tuple[Influence[Value], ...]:
    """Return the inputs with another value of which `project` gives something else than `base`, in the order of the inputs."""
    found = []
    for one in inputs:
        results, refused = [], 0
        for make in one.made:
            try:
                result = project(make())
            except (AgentError, ValueError, LookupError, TypeError):  # a value that no cluster has may be more than a planner foresees
                refused += 1
                continue
            if result != base:
                results.append(result)
        if results or (one.made and refused == len(one.made)):
            found.append(Influence(source=one.source, path=one.path, value=one.value, results=tuple(results)))
    return tuple(found)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, with flags on lines of their own."""
    return _LINES.split(text.rstrip("\n"))


def by_line(base: str, found: Iterable[Influence[str | None]]) -> Mapping[int, tuple[Influence[str | None], ...]]:
    """Return for each line of a text, from 0 on, the inputs that change or take away just that line."""
    lines = lines_of(base)
    marked: dict[int, list[Influence[str | None]]] = {}
    for one in found:
        touched: set[int] = set()
        for result in one.results:
            touched |= _touched(lines, lines_of(result)) if result is not None else set()
        for index in sorted(touched):
            marked.setdefault(index, []).append(one)
    return {index: tuple(ones) for index, ones in marked.items()}


def _touched(lines: list[str], other: list[str]) -> set[int]:
    matcher = difflib.SequenceMatcher(a=lines, b=other, autojunk=False)
    return {index for kind, begin, end, _, _ in matcher.get_opcodes() if kind != "equal" for index in range(begin, end)}
