"""`nodeup status`: what nodeup on this machine does, what it waits for, and where the time went; or how its last run ended."""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agents.cli import CommonOptions, common, emit
from agents.errors import NotFoundError
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

    host = LocalHost() if arguments.root is None else RootedHost(arguments.root)
    clock, options = SystemClock(), common(arguments)
    view = _watched(host, clock, options) if arguments.watch else look(host, clock)
    if not arguments.watch or not options.json:
        _show(view, options)
    return ExitCode.OK if view.state == "done" and not view.is_before_boot else ExitCode.FINDING


def look(host: Host, clock: Clock) -> StatusView:
    """Return what is known now: the status of this boot, else that of the last run on disk."""
    from nodeup.lock import is_locked
    from nodeup.observe import hostname
    from nodeup.progress import boot_id
    from nodeup.status_view import StatusView

    status, is_of_this_boot = _latest(host)
    written_in = status.details.get("bootId")
    return StatusView(
        hostname=hostname(host),
        status=status,
        now=clock.now(),
        is_alive=is_locked(host),
        is_before_boot=not is_of_this_boot and written_in != boot_id(host),
    )


def _latest(host: Host) -> tuple[Status, bool]:
    from agents.status import read_status, status_path
    from nodeup.progress import LAST_RUN

    try:
        return read_status(host, status_path("nodeup")), True
    except NotFoundError:
        pass
    try:
        return read_status(host, LAST_RUN), False
    except NotFoundError as error:
        raise NotFoundError("nodeup has never run on this machine", hint="journalctl -u kops-configuration") from error


def _watched(host: Host, clock: Clock, options: CommonOptions) -> StatusView:
    """Show the status until it is over, and return the last; on a terminal it is drawn in place."""
    shown = None
    while True:
        view = look(host, clock)
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
