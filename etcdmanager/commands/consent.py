"""How a verb that cannot be taken back is allowed: a plan by default, then the cluster's full name, typed (docs/contracts.md, exit code 4).

    --plan, or no terminal     the plan, and nothing is changed
    a terminal                 the plan, then the question for the name
    --yes --cluster NAME       no question; the name must be right all the same

Source of the rule: design of the command line, "every destructive verb".
"""

from __future__ import annotations

import argparse
import sys
from enum import Enum

from agents.cli import common
from agents.errors import RefusedError


class Consent(Enum):
    """What the command line allows."""

    PLAN = "show the plan only"
    ASK = "show the plan, then ask"
    GIVEN = "do it"


def consent_options(parser: argparse.ArgumentParser, *, subject: str) -> None:
    """Add --plan, --yes and --cluster; `subject` ends the sentence "the full name of the cluster …"."""
    parser.add_argument("--plan", action="store_true", help="show what would happen, and change nothing (the default without a terminal)")
    parser.add_argument("--yes", action="store_true", help="do not ask; only together with --cluster")
    parser.add_argument("--cluster", metavar="CLUSTER", help=f"the full name of the cluster {subject}")


def consent(arguments: argparse.Namespace, cluster: str) -> Consent:
    """Return what the command line allows for `cluster`; RefusedError for --yes without its name."""
    if arguments.yes and arguments.cluster != cluster:
        found = arguments.cluster or "none"
        raise RefusedError(f"--yes needs --cluster {cluster}, found {found}; nothing was changed", code="cluster-name")
    if arguments.plan:
        return Consent.PLAN
    if arguments.yes:
        return Consent.GIVEN
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty() and not common(arguments).json
    return Consent.ASK if is_terminal else Consent.PLAN


def ask(cluster: str) -> None:
    """Have the cluster's name typed; RefusedError for any other word."""
    try:
        typed = input("Type the cluster name to continue: ")
    except EOFError:
        typed = ""
    if typed.strip() != cluster:
        raise RefusedError(f"{typed.strip()!r} is not {cluster!r}; nothing was changed", code="cluster-name")
