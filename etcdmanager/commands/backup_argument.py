"""The words `[ETCD] BACKUP` of several verbs: `restore-backup main latest`, `restore-backup latest --backup-store …`."""

from __future__ import annotations

import argparse

from agents.errors import SpecError


def backup_argument(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Add the words to a verb."""
    parser.add_argument(
        "words",
        nargs="*" if optional else "+",
        metavar="[ETCD] BACKUP",
        help="main (the default), events, cilium or leases; then a backup's name, a beginning that only one has, latest or oldest",
    )


def etcd_and_backup(arguments: argparse.Namespace, *, default: str = "") -> tuple[str, str]:
    """Return the etcd cluster and the backup that the words name."""
    words = [str(word) for word in arguments.words]
    match words:
        case [] if default:
            return "main", default
        case ["main" | "events" | "cilium" | "leases" as etcd] if default:
            return etcd, default
        case [backup]:
            return "main", backup
        case [etcd, backup]:
            return etcd, backup
        case _:
            raise SpecError(f"wanted [ETCD] BACKUP, found {' '.join(words) or 'nothing'}", code="usage")
