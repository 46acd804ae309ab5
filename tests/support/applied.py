"""A machine in memory that plans are applied to, one run after another, with its history; it may lose its power at any effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from agents.errors import AgentError
from agents.host.protocol import CommandResult
from nodeup.attempt import settle
from nodeup.engine.converge import Result, converge, observe
from nodeup.engine.graph import Graph, build_graph
from nodeup.engine.history import Run, last_run_id, run_id
from nodeup.engine.owned import obsolete, read_manifest, split_foreign
from nodeup.engine.recorder import Recorder
from nodeup.engine.report import plan_lines, plan_report
from nodeup.resources.content import Literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.resources.unit import Unit
from tests.fakes.host import FakeHost
from tests.fakes.run_context import DEBIAN, run_context
from tests.fakes.systemd import FakeSystemd

STATE = "/var/lib/node-agents"
UNITS = DEBIAN.unit_directory


def a_file(path: str, text: str = "ours\n", *, on_change: tuple[tuple[str, ...], ...] = (), mode: int | None = 0o640) -> File:
    return File(path=path, content=Literal(text.encode()), mode=mode, on_change=on_change)


def a_unit(name: str, text: str = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n") -> Unit:
    return Unit(name=name, definition=text, enabled=True, running=True)


class PowerCutError(AgentError):
    """The machine lost power."""


class Mortal(FakeHost):
    """A machine that loses power before its n-th effect, and has no effects from then on."""

    lives: int | None = None

    def _spend(self) -> None:
        if self.lives is not None:
            self.lives -= 1
            if self.lives < 0:
                raise PowerCutError("no power")

    def _change(self, path: str) -> None:
        self._spend()
        super()._change(path)

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: timedelta,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> CommandResult:
        if tuple(argv)[:2] not in {("systemctl", "show"), ("systemctl", "cat")}:
            self._spend()
        return super().run(argv, timeout=timeout, stdin=stdin, environment=environment)


@dataclass
class Machine:
    """A machine that plans are applied to, one run after another."""

    mortal: Mortal = field(default_factory=Mortal)
    began: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __post_init__(self) -> None:
        self.host: FakeHost = self.mortal
        self.systemd = FakeSystemd(self.host)
        self.host.answer(("touch",))

    def graph(self, resources: Sequence[AnyResource]) -> Graph:
        context = run_context(self.host)
        former, _ = split_foreign(obsolete(read_manifest(self.host), resources, UNITS), self.host, context)
        return build_graph(resources, (), former)

    def plan(self, *resources: AnyResource) -> list[str]:
        graph = self.graph(resources)
        outcomes = observe(graph, self.host, run_context(self.host))
        return list(plan_lines(plan_report(graph.steps, outcomes, unit_directory=UNITS)))

    def apply(self, *resources: AnyResource) -> Result:
        self.began += timedelta(hours=1)
        recorder = Recorder(self.host, Run(id=run_id(self.began, after=last_run_id(self.host)), began=self.began))
        context = run_context(self.host)
        graph = self.graph(resources)
        result = converge(graph, self.host, context, before_change=recorder.before)
        settle(recorder, graph, resources, self.host, context, complete=result.is_complete)
        return result

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Everything but our own state."""
        found = {path: content for path, content in self.host.files().items() if not path.startswith(STATE)}
        stats = {path: self.host.stat(path) for path in found}
        return {path: (content, stat.mode) for path, content in found.items() if (stat := stats[path]) is not None}
