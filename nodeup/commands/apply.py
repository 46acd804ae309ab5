"""`nodeup apply`: makes the machine as it should be, and looks again."""

from __future__ import annotations

import argparse
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agents.errors import AccessError, AgentError, DeadlineError
from agents.exit_codes import ExitCode
from nodeup.commands.options import options_of, plan_options
from nodeup.commands.result import show_result

if TYPE_CHECKING:
    from agents.clock import Clock
    from agents.host.protocol import Host
    from nodeup.engine.converge import Result
    from nodeup.engine.graph import Graph
    from nodeup.engine.recorder import Recorder
    from nodeup.progress import Progress
    from nodeup.session import Session

#: How many of the things that are not done are named.
_NAMED = 8


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    plan_options(parser)
    parser.add_argument(
        "--only",
        default="",
        metavar="WHAT,…",
        help="only these, and what they are made of: files, services, packages, certificates, obsolete, …, paths or parts of names",
    )
    parser.add_argument("--max-time", default="", metavar="DURATION", help="start nothing more after this long, e.g. 10m (exit 8)")
    parser.add_argument(
        "--rollback-on-failure", action="store_true", help="when it does not work in the end: files and units back to as they were"
    )
    parser.add_argument("--lift-hold", action="store_true", help="take away the hold that `nodeup rollback --hold` left, and apply")
    parser.add_argument("--retries", type=int, default=0, metavar="N", help="attempts after the first; -1: until it works (default 0)")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Attempt until it works; SIGTERM and Ctrl-C let running steps end and start no further one."""
    from agents.clock import SystemClock
    from nodeup.attempt import new_recorder
    from nodeup.hold import lift_hold, refuse_if_held
    from nodeup.lock import apply_lock
    from nodeup.loop import Stopped
    from nodeup.progress import CONSOLE, Progress
    from nodeup.session import open_host

    options = options_of(arguments)
    if options.root is None and os.geteuid() != 0:
        raise AccessError("nodeup apply changes the machine and needs root", hint="or use `nodeup render --out DIR`")
    host, clock = open_host(options), SystemClock()
    stopping = _stop_on_signals()
    is_unit = "INVOCATION_ID" in os.environ and options.root is None
    progress = Progress(host, clock, console=CONSOLE if is_unit else None)
    with apply_lock(host, clock):
        if arguments.lift_hold:
            lift_hold(host)
        refuse_if_held(host)
        if options.root is None:
            _forget_old_copies()
        recorder = new_recorder(host, clock, "apply")
        try:
            with _time_limit(arguments.max_time, stopping) as is_over:
                result = _attempts(arguments, progress, stopping, recorder, is_over)
        except Stopped as stop:
            sys.stderr.write(f"{stop}\n")
            return ExitCode.INTERRUPTED
        except AgentError as error:
            if arguments.rollback_on_failure and recorder.has_changes:
                said = _roll_back(host, clock, recorder, progress, on_machine=options.root is None)
                error.hint = f"{said}; {error.hint}" if error.hint else said
                progress.failed(error)
            raise
    show_result(arguments, result)
    return ExitCode.OK


def _forget_old_copies() -> None:
    import nodeup
    from nodeup.unpacked import own_copy, remove_old_copies

    home = own_copy(str(nodeup.__file__))
    if home is not None:
        remove_old_copies(home)


def _attempts(
    arguments: argparse.Namespace,
    progress: Progress,
    stopping: threading.Event,
    recorder: Recorder,
    is_over: Callable[[], bool],
) -> Result:
    """Attempt until it works; DeadlineError, which names what is missing, when --max-time is over before."""
    from agents.clock import SystemClock
    from nodeup.attempt import attempt
    from nodeup.loop import Stopped, attempts

    options = options_of(arguments)
    choose = _choice_of(arguments.only)
    missing: list[str] = []

    def once() -> Result:
        return attempt(options, progress, stopping, recorder, choose=choose, missing=missing)

    try:
        return attempts(
            once,
            retries=arguments.retries,
            progress=progress,
            clock=SystemClock(),
            random=random.random,
            pause=lambda duration: stopping.wait(duration.total_seconds()),
        )
    except Stopped as stop:
        if not is_over():
            raise
        named = ", ".join(missing[:_NAMED]) + (f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else "")
        error = DeadlineError(
            f"--max-time {arguments.max_time} is over; not done: {named or 'everything'}",
            code="max-time",
            hint="what was done stays; the next apply does the rest",
        )
        progress.failed(error)
        raise error from stop


def _choice_of(only: str) -> Callable[[Session], Graph] | None:
    """Return what cuts a plan to what --only names, and tells which differences it leaves; None without --only."""
    words = [word.strip() for word in only.split(",") if word.strip()]
    if not words:
        return None

    def choose_graph(session: Session) -> Graph:
        from nodeup.engine.choice import choose

        choice = choose(session.graph, words)
        for text in _left_undone(session, choice.unfollowed):
            sys.stderr.write(f"{text}\n")
        return choice.graph

    return choose_graph


def _left_undone(session: Session, unfollowed: tuple[tuple[str, str], ...]) -> Iterator[str]:
    """Yield what chosen steps would have waited for in a whole run, where it is not as wanted."""
    from nodeup.engine.converge import Status, observe
    from nodeup.engine.graph import Graph

    waiting = dict(unfollowed)
    # Read in the graph's order: a file may be made of a certificate that is read before it.
    outcomes = observe(Graph(steps=session.graph.steps, dependencies=session.graph.dependencies), session.host, session.context)
    differing = [outcome.id for outcome in outcomes if outcome.id in waiting and outcome.status is not Status.UNCHANGED]
    yield from (f"left as it is by --only, though {waiting[name]} waits for it in a whole run: {name}" for name in differing[:_NAMED])
    if len(differing) > _NAMED:
        yield f"left as it is by --only: {len(differing) - _NAMED} more"


def _roll_back(host: Host, clock: Clock, recorder: Recorder, progress: Progress, *, on_machine: bool) -> str:
    """Take back what this run changed, and say how that went; an error in it is part of what is said, not raised."""
    from nodeup.attempt import new_recorder
    from nodeup.engine.history import read_runs
    from nodeup.going_back import context_without_plan, go_back, graph_back
    from nodeup.loop import first_error

    progress.phase("rollback", f"before run {recorder.run.id}")
    recorder.end(complete=False)
    try:
        runs = read_runs(host)
        target = next(run for run in runs if run.id == recorder.run.id)
        graph = graph_back(host, runs, target, on_machine=on_machine)
        result = go_back(graph, host, context_without_plan(host, clock), new_recorder(host, clock, "rollback"))
        failed = None if result.is_complete else first_error(result)
    except AgentError as error:
        failed = error
    if failed is not None:
        return f"the rollback did not work either: {failed}; see `nodeup rollback --list`"
    return f"files and units are back to before run {recorder.run.id}"


@contextmanager
def _time_limit(text: str, stopping: threading.Event) -> Iterator[Callable[[], bool]]:
    """Set `stopping` when the time is over; what is handed out says whether it was."""
    if not text:
        yield lambda: False
        return
    from agents.durations import parse_human_duration

    over = threading.Event()

    def end() -> None:
        over.set()
        stopping.set()

    timer = threading.Timer(parse_human_duration(text).total_seconds(), end)
    timer.daemon = True
    timer.start()
    try:
        yield over.is_set
    finally:
        timer.cancel()


def _stop_on_signals() -> threading.Event:
    """Return an event that the first SIGTERM or SIGINT sets; a second one ends the process as usual."""
    import signal

    stopping = threading.Event()

    def stop(number: int, _frame: object) -> None:
        stopping.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return stopping
