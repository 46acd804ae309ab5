"""How a verb that changes a cluster or a machine by an operator's word is allowed: a plan by default, then one word, typed.

    --plan, or no terminal            the plan, and nothing is changed
    a terminal                        the plan, then the question for the word
    --yes [--cluster NAME]            no question; the name must be right all the same

The word is the cluster's full name where nothing brings back what the verb takes away, and "yes" where the same or another
verb does. Exit code 4 (docs/contracts.md). Source of the rule: design of the command line, "every destructive verb".
"""

from __future__ import annotations

import argparse
import sys
from enum import Enum

from agents.cli import common
from agents.errors import RefusedError

#: What is typed where no cluster is named.
YES = "yes"


class Consent(Enum):
    """What the command line allows."""

    PLAN = "show the plan only"
    ASK = "show the plan, then ask"
    GIVEN = "do it"


def consent_options(parser: argparse.ArgumentParser, *, subject: str = "") -> None:
    """Add --plan and --yes, and with a `subject`, which ends the sentence "the full name of the cluster …", also --cluster."""
    parser.add_argument("--plan", action="store_true", help="show what would happen, and change nothing (the default without a terminal)")
    if not subject:
        parser.add_argument("--yes", action="store_true", help="do not ask")
        return
    parser.add_argument("--yes", action="store_true", help="do not ask; only together with --cluster")
    parser.add_argument("--cluster", metavar="CLUSTER", help=f"the full name of the cluster {subject}")


def is_plan_only(arguments: argparse.Namespace) -> bool:
    """Whether the plan is all that is asked for; what names the cluster need not even be readable then."""
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty() and not common(arguments).json
    return bool(arguments.plan) or not (arguments.yes or is_terminal)


def consent(arguments: argparse.Namespace, cluster: str = "") -> Consent:
    """Return what the command line allows for `cluster`, "" where none has to be named; RefusedError for --yes without its name."""
    if cluster and arguments.yes and arguments.cluster != cluster:
        found = arguments.cluster or "none"
        raise RefusedError(f"--yes needs --cluster {cluster}, found {found}; nothing was changed", code="cluster-name")
    if is_plan_only(arguments):
        return Consent.PLAN
    return Consent.GIVEN if arguments.yes else Consent.ASK


def ask(cluster: str = "") -> None:
    """Have the cluster's name typed, or "yes" where none has to be named; RefusedError for any other word."""
    wanted = cluster or YES
    try:
        typed = input(f"Type {'the cluster name' if cluster else wanted} to continue: ")
    except EOFError:
        typed = ""
    if typed.strip() != wanted:
        raise RefusedError(f"{typed.strip()!r} is not {wanted!r}; nothing was changed", code="cluster-name" if cluster else "consent")
