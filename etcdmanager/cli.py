"""`etcd-manager`: finds the verb, imports its module, and nothing else; `--help` imports no verb at all.

Without a verb, flags alone are `run`, as the Go program is started: `etcd-manager --cluster-name=etcd --backup-store=…`.
`etcd-manager-ctl` is a program of its own (`etcdmanager.ctl`); which of them a file is, its name decides (packaging/bundle.py).

A verb's module has `configure(parser)` and `run(arguments) -> ExitCode | None`; that of `run` has `main(argv)`, for Go-style flags.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from agents.cli import Parser, common_options, guarded, run_command, version_option


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """A verb, the module below `etcdmanager.commands` that does it, and what help says of it."""

    name: str
    module: str
    help: str
    function: str = "run"


VERBS: tuple[Verb, ...] = (
    Verb(name="run", module="run", help="be a member's manager (what the unit starts); takes the Go program's flags"),
    Verb(name="status", module="status", help="how the cluster is, what its manager waits for, and what to do"),
    Verb(name="watch", module="watch", help="how the members are, again and again: lag, growth, alarms, how fast they answer"),
    Verb(name="members", module="members", help="etcd's members and the managers beside them"),
    Verb(name="move-leader", module="member_verbs", help="have another member lead raft", function="run_move_leader"),
    Verb(name="remove-member", module="member_verbs", help="take a superfluous member off the list", function="run_remove"),
    Verb(name="replace-member", module="member_verbs", help="have an empty peer take its place", function="run_replace"),
    Verb(name="recover-from-member", module="recover_from_member", help="quorum lost for good: a new cluster from what is left"),
    Verb(name="upgrade", module="upgrade", help="have all members run another etcd, older ones too; shows a plan first"),
    Verb(name="defrag", module="defrag", help="rewrite database files without holes, one member at a time"),
    Verb(name="doctor", module="doctor", help="what is wrong, what shows it, and what to do; --fix writes missing control files again"),
    Verb(name="certs", module="certs", help="this node's certificates of etcd, and until when they are good"),
    Verb(name="configure-cluster", module="configure_cluster", help="how many members, which etcd; shows a plan first"),
    Verb(name="history", module="history", help="who did what, and why"),
    Verb(name="pause", module="pause", help="have the leading manager begin nothing by itself for a while"),
    Verb(name="resume", module="pause", help="end a pause", function="run_resume"),
    Verb(name="list-backups", module="list_backups", help="the backups in the store, newest first"),
    Verb(name="verify-backup", module="verify_backup", help="prove that backups are good; --deep boots an etcd from them"),
    Verb(name="drill", module="drill", help="restore a backup as an exercise, into an etcd that nobody reaches, and compare"),
    Verb(name="backup-now", module="backup_now", help="have a backup taken, and wait for it"),
    Verb(name="restore-backup", module="restore_backup", help="put a backup in place of the cluster's data; shows a plan first"),
    Verb(name="browse", module="browse", help="which keys a backup holds, and how large they are; needs no etcd"),
    Verb(name="get", module="get", help="a key's value as a backup has it"),
    Verb(name="diff", module="diff", help="which keys came, went and changed between two backups"),
    Verb(name="extract", module="extract", help="values of a backup as files"),
    Verb(name="check", module="check", help="is there a verified backup that is young enough? for monitoring"),
    Verb(name="copy-backups", module="copy_backups", help="bring backups to a second store"),
    Verb(name="prune", module="prune", help="delete backups that retention no longer asks for; shows a plan first"),
    Verb(name="keep", module="keep", help="pin a backup against retention"),
    Verb(name="unkeep", module="keep", help="let retention decide again", function="run_unkeep"),
)
#: Options that end the program before any verb.
_ENDING = frozenset({"-h", "--help", "--version"})
#: The only options that may stand before a verb; any other one makes the line a Go-style `run`.
_BEFORE_A_VERB = _ENDING | {"--json", "-v", "--verbose", "-q", "--quiet", "--no-color", "--log-json"}


def main() -> int:
    """Run the command line of this process; return the exit code."""
    # Before anything imports grpc: its fork handlers kill children at random (docs/decisions, dependencies).
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    return main_with(sys.argv[1:])


def main_with(argv: Sequence[str]) -> int:
    """Run one command line; return the exit code."""
    verb = next((word for word in argv if word not in _BEFORE_A_VERB), "")
    if verb.startswith("-"):
        return _run(argv)
    if verb == "run" and _ENDING.isdisjoint(argv[: argv.index("run")]):
        at = argv.index("run")
        return _run([*argv[:at], *argv[at + 1 :]])
    return run_command(argv, lambda: build(verb))


def build(chosen: str) -> argparse.ArgumentParser:
    """Return the parser; only the chosen verb's module is imported."""
    parser = Parser(prog="etcd-manager", description="Forms, keeps, backs up and restores the etcd clusters of one Kubernetes cluster.")
    version_option(parser, "etcd-manager")
    common_options(parser)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for verb in VERBS:
        sub = verbs.add_parser(verb.name, help=verb.help, description=verb.help)
        if verb.name == chosen != "run":
            module = import_module(f"etcdmanager.commands.{verb.module}")
            module.configure(sub)
            sub.set_defaults(run=getattr(module, verb.function))
    return parser


def _run(argv: Sequence[str]) -> int:
    start: Callable[[Sequence[str]], int] = import_module("etcdmanager.commands.run").main
    return guarded(lambda: start(argv))


if __name__ == "__main__":
    sys.exit(main())
