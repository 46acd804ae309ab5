"""`nodeup status`: what nodeup on this machine does, or did last."""

from __future__ import annotations

import argparse
from pathlib import Path

from agents.cli import common, emit, table
from agents.errors import NotFoundError
from agents.exit_codes import ExitCode


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--root", type=Path, default=None, metavar="DIR", help="look below this directory")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Show the status file."""
    from agents.host.local import LocalHost
    from agents.host.rooted import RootedHost
    from agents.status import read_status, status_path

    host = LocalHost() if arguments.root is None else RootedHost(arguments.root)
    try:
        status = read_status(host, status_path("nodeup"))
    except NotFoundError as error:
        raise NotFoundError("nodeup has not run on this machine since it booted", hint="journalctl -u kops-configuration") from error
    details = status.details
    lines = [f"{status.state}: {status.message}"]
    lines += [f"waiting for {wait.reason} until {wait.until}: {wait.last_error}" for wait in status.waiting]
    lines += [f"hint: {wait.hint}" for wait in status.waiting if wait.hint]
    rows = details.get("timeline")
    if isinstance(rows, list) and rows:
        columns = ("phase", "from", "to", "steps", "changed")
        lines += ["", table(columns, [[row.get(column) for column in columns] for row in rows], right=columns[1:])]
    document = {"state": status.state, "message": status.message, "details": dict(details)}
    emit(common(arguments), "NodeStatus", document, "\n".join(lines))
    return ExitCode.OK if status.state == "done" else ExitCode.FINDING
