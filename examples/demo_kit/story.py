"""What the demo did, how long each step took, and whether it was as it should be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from agents.cli import table


class NotAsItShouldBeError(Exception):
    """The demo found something wrong; the message says what was wanted and what was found."""


def check(holds: bool, what: str) -> None:  # noqa: FBT001  reads as a sentence: check(a == b, "a is b")
    """Raise NotAsItShouldBeError unless it holds."""
    if not holds:
        raise NotAsItShouldBeError(what)


@dataclass(slots=True, kw_only=True)
class Step:
    """One line of the table."""

    title: str
    seconds: float = 0.0
    ok: bool = False
    #: What was seen; a step adds to it while it runs.
    facts: list[str] = field(default_factory=list)


class Story:
    """The steps so far."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._began = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Time the block as one step; an exception makes it a failed one and goes on."""
        step = Step(title=title)
        self._steps.append(step)
        print(f"   {title} …", flush=True)
        began = time.monotonic()
        try:
            yield step
            step.ok = True
        finally:
            step.seconds = time.monotonic() - began
            print(f" {'✓' if step.ok else '✗'} {step.seconds:6.1f} s  {title}: {'; '.join(step.facts)}", flush=True)

    def text(self) -> str:
        """Return the table of all steps."""
        rows = [["ok" if step.ok else "FAILED", f"{step.seconds:.1f} s", step.title, "; ".join(step.facts)] for step in self._steps]
        rows.append(["", f"{time.monotonic() - self._began:.1f} s", "altogether", ""])
        return table(("RESULT", "TOOK", "STEP", "SEEN"), rows, right={"TOOK"})
