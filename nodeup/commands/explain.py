"""`nodeup explain`: where a file, unit or other thing comes from and what it waits for."""

from __future__ import annotations

import argparse
from dataclasses import replace

from agents.cli import common, emit
from agents.errors import NotFoundError
from agents.exit_codes import ExitCode
from nodeup.commands.options import options_of, plan_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    plan_options(parser)
    parser.add_argument("thing", metavar="PATH|NAME", help="a path, a unit, or a part of a resource's name")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Explain."""
    from nodeup.explain import explain
    from nodeup.session import open_session

    options = replace(options_of(arguments), ask_network=False)
    session = open_session(options)
    found = explain(arguments.thing, session, options.profile)
    if not found:
        raise NotFoundError(f"nothing in the plan of this node is named {arguments.thing}")
    text = "\n\n".join(entry.text for entry in found)
    emit(common(arguments), "NodeExplanation", {"items": [entry.document for entry in found]}, text)
    return ExitCode.OK
