"""Executing a graph: each step read, compared, applied, and read again; many at a time, none before its dependencies.

waiting ──dependencies done──► ready ──lane free──► running ──► unchanged | changed | failed
   └──────a dependency failed or was skipped──────────────────► skipped, with the reason
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum

from agents.errors import AgentError, InvariantError, TransientError
from agents.host.protocol import Host
from nodeup.engine.diff import Difference, compare, shown
from nodeup.engine.graph import Graph, Step
from nodeup.resources.asset import Asset
from nodeup.resources.certificate import BootstrapCertificates, Certificate
from nodeup.resources.image import ImageArchive, ImageFiles, PulledImage
from nodeup.resources.package import AptSource, PackageSet
from nodeup.resources.protocol import RunContext

log = logging.getLogger(__name__)


class Lane(Enum):
    """What a step needs most of; each lane has its own limit, so that a slow one holds up nobody else."""

    #: dpkg and rpm have one lock.
    PACKAGES = "packages"
    NETWORK = "network"
    #: RSA keys; a control plane makes fifteen, and etcd is to start meanwhile.
    CPU = "cpu"
    LOCAL = "local"


LIMITS = {Lane.PACKAGES: 1, Lane.NETWORK: 4, Lane.CPU: 2, Lane.LOCAL: 8}


class Status(Enum):
    """How a step ended."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a step."""

    id: str
    status: Status
    #: What differed before; None where nothing did, or where it could not be read.
    difference: Difference | None = None
    error: AgentError | None = None
    #: Why it was skipped; "" otherwise.
    reason: str = ""
    started: timedelta = timedelta()
    duration: timedelta = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of all steps, in the graph's order."""

    outcomes: tuple[Outcome, ...]
    duration: timedelta

    def with_status(self, status: Status) -> tuple[Outcome, ...]:
        """Return the outcomes with this status."""
        return tuple(outcome for outcome in self.outcomes if outcome.status is status)

    @property
    def is_complete(self) -> bool:
        """Whether every step is as it should be."""
        return not self.with_status(Status.FAILED) and not self.with_status(Status.SKIPPED)


def observe(graph: Graph, host: Host, context: RunContext) -> tuple[Outcome, ...]:
    """Read and compare all steps, in the graph's order, changing nothing: UNCHANGED, CHANGED (it differs) or FAILED (it cannot be read).

    They are read in order because some make their outputs while they are read: a kept certificate, a kubeconfig of it.
    """
    return tuple(_observed(step, host, context) for step in graph.steps)


def converge(
    graph: Graph,
    host: Host,
    context: RunContext,
    *,
    on_event: Callable[[str, Outcome | None], None] | None = None,
    is_stopping: Callable[[], bool] | None = None,
    before_change: Callable[[Step, Difference, RunContext], None] | None = None,
) -> Result:
    """Make everything so and say what became of each step.

    Errors do not end the run: a failed step costs only those that depend on it. `on_event` is called with a step's id when
    it starts (None) and when it ended. When `is_stopping` says so, no further step starts; the rest is skipped. `before_change`
    is called, in a worker thread, before a step is applied; its error is the step's, which then is not applied.
    """
    run = _Run(graph, host, context, on_event, is_stopping, before_change)
    outcomes = run.execute()
    return Result(outcomes=tuple(outcomes[step.id] for step in graph.steps), duration=run.elapsed())


def lane_of(step: Step) -> Lane:
    """Return which lane a step runs in."""
    match step:
        case PackageSet() | AptSource():
            return Lane.PACKAGES
        case Asset() | ImageFiles() | ImageArchive() | PulledImage() | BootstrapCertificates():
            return Lane.NETWORK
        case Certificate():
            return Lane.CPU
        case _:
            return Lane.LOCAL


class _Run:
    """The state of one execution; touched by the calling thread only."""

    def __init__(
        self,
        graph: Graph,
        host: Host,
        context: RunContext,
        on_event: Callable[[str, Outcome | None], None] | None,
        is_stopping: Callable[[], bool] | None,
        before_change: Callable[[Step, Difference, RunContext], None] | None,
    ) -> None:
        self._graph = graph
        self._host = host
        self._context = context
        self._on_event = on_event
        self._is_stopping = is_stopping
        self._before_change = before_change
        self._begin = time.monotonic()
        self._waiting = {step.id: step for step in graph.steps}
        self._running: dict[Future[Outcome], Step] = {}
        self._outcomes: dict[str, Outcome] = {}

    def elapsed(self) -> timedelta:
        return timedelta(seconds=time.monotonic() - self._begin)

    def execute(self) -> dict[str, Outcome]:
        with ThreadPoolExecutor(max_workers=sum(LIMITS.values()), thread_name_prefix="nodeup") as pool:
            while self._waiting or self._running:
                for step in list(self._ready()):
                    self._tell(step.id, None)
                    self._running[pool.submit(self._apply, step)] = step
                if not self._running:
                    continue
                done, _ = wait(self._running, return_when=FIRST_COMPLETED)
                for future in done:
                    self._finish(_outcome_of(future, self._running.pop(future)))
        return self._outcomes

    def _ready(self) -> Iterator[Step]:
        """Yield the steps that may start now, taking them from the waiting; skip those that never may."""
        free = {lane: limit - sum(lane_of(step) is lane for step in self._running.values()) for lane, limit in LIMITS.items()}
        stopping = self._is_stopping is not None and self._is_stopping()
        for step in list(self._waiting.values()):
            reason = "nodeup was told to stop" if stopping else self._blocked_by(step)
            if reason:
                del self._waiting[step.id]
                self._finish(Outcome(id=step.id, status=Status.SKIPPED, reason=reason, started=self.elapsed()))
            elif self._is_ready(step) and free[lane_of(step)] > 0:
                free[lane_of(step)] -= 1
                del self._waiting[step.id]
                yield step

    def _is_ready(self, step: Step) -> bool:
        return all(dependency.on in self._outcomes for dependency in self._graph.dependencies[step.id])

    def _blocked_by(self, step: Step) -> str:
        for dependency in self._graph.dependencies[step.id]:
            outcome = self._outcomes.get(dependency.on)
            if outcome is not None and outcome.status in {Status.FAILED, Status.SKIPPED}:
                return f"{dependency.on} {outcome.status.value} ({dependency.rule})"
        return ""

    def _apply(self, step: Step) -> Outcome:
        return _applied(step, self._host, self._context, self._begin, self._before_change)

    def _finish(self, outcome: Outcome) -> None:
        self._outcomes[outcome.id] = outcome
        self._tell(outcome.id, outcome)

    def _tell(self, step_id: str, outcome: Outcome | None) -> None:
        if self._on_event is not None:
            self._on_event(step_id, outcome)


def _observed(step: Step, host: Host, context: RunContext) -> Outcome:
    begin = time.monotonic()
    try:
        difference = compare(step, step.read(host, context))
    except AgentError as error:
        return Outcome(id=step.id, status=Status.FAILED, error=error, duration=timedelta(seconds=time.monotonic() - begin))
    status = Status.UNCHANGED if difference is None else Status.CHANGED
    return Outcome(id=step.id, status=status, difference=difference, duration=timedelta(seconds=time.monotonic() - begin))


def _applied(
    step: Step,
    host: Host,
    context: RunContext,
    run_begin: float,
    before_change: Callable[[Step, Difference, RunContext], None] | None,
) -> Outcome:
    """Read, apply what differs, and look again; in a worker thread."""
    begin = time.monotonic()
    before = _observed(step, host, context)
    after = before
    if before.difference is not None:
        try:
            if before_change is not None:
                before_change(step, before.difference, context)
            # The step is of the type of what its own read returned; the protocol says so, the union of kinds cannot.
            step.apply(host, context, before.difference.actual)  # type: ignore[arg-type]
            after = _judged(step, host, context, before.difference)
        except AgentError as error:
            after = Outcome(id=step.id, status=Status.FAILED, difference=before.difference, error=error)
    end = time.monotonic()
    return replace(after, started=timedelta(seconds=begin - run_begin), duration=timedelta(seconds=end - begin))


def _judged(step: Step, host: Host, context: RunContext, difference: Difference) -> Outcome:
    """Return CHANGED if reading shows what was wanted; whatever apply believes."""
    again = compare(step, step.read(host, context))
    if again is None:
        return Outcome(id=step.id, status=Status.CHANGED, difference=difference)
    where = ", ".join(f"{change.field} is {shown(change.actual)}" for change in again.changes) or "it does not exist"
    raise TransientError(f"{step.id} was applied and still is not as wanted: {where}", code="not-converged")


def _outcome_of(future: Future[Outcome], step: Step) -> Outcome:
    """Return a step's outcome; a bug in one kind of resource costs that step, not the node."""
    error = future.exception()
    if error is None:
        return future.result()
    log.error("bug in %s: %s", step.id, "".join(traceback.format_exception(error)))
    bug = InvariantError(f"{step.id}: {type(error).__name__}: {error}", hint="the log has a traceback; please report it")
    return Outcome(id=step.id, status=Status.FAILED, error=bug)
