"""`nodeup status`: what nodeup on this machine does, what it waits for, and where the time went; or how its last run ended."""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agents.cli import CommonOptions, common, emit
from agents.exit_codes import ExitCode

if TYPE_CHECKING:
    from agents.clock import Clock
    from agents.host.protocol import Host
    from agents.status import Status
    from nodeup.status_view import StatusView

#: How often --watch looks; the file changes at most once a second.
WATCH_EVERY = timedelta(seconds=1)
#: Cursor to the top left, and erase from there on: what was there is overwritten without flicker.
_HOME_AND_ERASE = "\x1b[H\x1b[J"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--root", type=Path, default=None, metavar="DIR", help="look below this directory")
    parser.add_argument(
        "-W", "--watch", action="store_true", help="show it again every second until the run is over; with --json a line for each change"
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Show the status: OK when the last run ended well, FINDING otherwise; NotFoundError where nodeup never ran."""
    from agents.clock import SystemClock
    from agents.host.local import LocalHost
    from agents.host.rooted import RootedHost
    from nodeup.last_status import latest_view

    host = LocalHost() if arguments.root is None else RootedHost(arguments.root)
    clock, options = SystemClock(), common(arguments)
    view = _watched(host, clock, options) if arguments.watch else latest_view(host, clock)
    if not arguments.watch or not options.json:
        _show(view, options)
    return ExitCode.OK if view.state == "done" and not view.is_before_boot else ExitCode.FINDING


def _watched(host: Host, clock: Clock, options: CommonOptions) -> StatusView:
    """Show the status until it is over, and return the last; on a terminal it is drawn in place."""
    from nodeup.last_status import latest_view

    shown = None
    while True:
        view = latest_view(host, clock)
        if options.json:
            shown = _show_line(view, shown)
        elif sys.stdout.isatty():
            sys.stdout.write(_HOME_AND_ERASE)
            _show(view, options)
        if view.is_over:
            return view
        sys.stdout.flush()
        clock.sleep(WATCH_EVERY)


def _show_line(view: StatusView, before: Status | None) -> Status:
    import json

    from nodeup.status_view import status_document

    if view.status != before:
        sys.stdout.write(json.dumps({"apiVersion": "node-agents/v1", "kind": "NodeStatus", **status_document(view)}) + "\n")
    return view.status


def _show(view: StatusView, options: CommonOptions) -> None:
    from nodeup.status_view import status_document, status_lines

    emit(options, "NodeStatus", status_document(view), "\n".join(status_lines(view)))
