"""`nodeup render`: all files, certificates and units below a directory; no commands, no machine needed."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from agents.errors import AccessError
from agents.exit_codes import ExitCode
from nodeup.commands.options import options_of, plan_options
from nodeup.commands.result import show_result


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    plan_options(parser, with_root=False)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Render."""
    from nodeup.engine.converge import converge
    from nodeup.loop import first_error
    from nodeup.session import open_session

    options = replace(options_of(arguments), root=arguments.out, ask_network=False, removes=False)
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AccessError(f"--out {arguments.out}: {error.strerror}") from error
    session = open_session(options)
    result = converge(session.graph, session.host, session.context)
    session.context.digests.save()
    if not result.is_complete:
        raise first_error(result)
    show_result(arguments, result, left_out=session.left_out)
    return ExitCode.OK
