"""`nodeup verify`: everything compared, by its bytes, with what is wanted."""

from __future__ import annotations

import argparse
from dataclasses import replace

from agents.exit_codes import ExitCode
from nodeup.commands.differences import show_differences
from nodeup.commands.options import options_of, plan_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    plan_options(parser)
    parser.add_argument("--no-diff", action="store_true", help="no text differences, only one line for each change")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Compare and print."""
    return show_differences(arguments, replace(options_of(arguments), ask_network=False, trust_digests=False), kind="NodeDrift")
