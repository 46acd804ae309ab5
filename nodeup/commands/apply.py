"""`nodeup apply`: makes the machine as it should be, and looks again."""

from __future__ import annotations

import argparse
import os
import random
import sys
import threading

from agents.errors import AccessError
from agents.exit_codes import ExitCode
from nodeup.commands.options import options_of, plan_options
from nodeup.commands.result import show_result


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    plan_options(parser)
    parser.add_argument("--lift-hold", action="store_true", help="take away the hold that `nodeup rollback --hold` left, and apply")
    parser.add_argument("--retries", type=int, default=0, metavar="N", help="attempts after the first; -1: until it works (default 0)")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Attempt until it works; SIGTERM and Ctrl-C let running steps end and start no further one."""
    from agents.clock import SystemClock
    from nodeup.attempt import attempt, new_recorder
    from nodeup.hold import lift_hold, refuse_if_held
    from nodeup.lock import apply_lock
    from nodeup.loop import Stopped, attempts
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
        recorder = new_recorder(host, clock, "apply")
        try:
            result = attempts(
                lambda: attempt(options, progress, stopping, recorder),
                retries=arguments.retries,
                progress=progress,
                clock=clock,
                random=random.random,
                pause=lambda duration: stopping.wait(duration.total_seconds()),
            )
        except Stopped as stop:
            sys.stderr.write(f"{stop}\n")
            return ExitCode.INTERRUPTED
    show_result(arguments, result)
    return ExitCode.OK


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
