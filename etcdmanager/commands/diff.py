"""`etcd-manager diff BACKUP BACKUP [PREFIX]`: which keys came, went and changed between two backups."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from agents.cli import common, common_options, emit
from agents.exit_codes import ExitCode
from etcdmanager.commands.backup_keys import opened_backup, reading_options

if TYPE_CHECKING:
    from etcdmanager.backups.keyspace import Keyspace


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    parser.add_argument("before", metavar="BEFORE", help="a backup: its name, latest, oldest, or the path of a snapshot file")
    parser.add_argument("after", metavar="AFTER", help="the backup to compare with it")
    parser.add_argument("prefix", nargs="?", default="", metavar="PREFIX", help="only keys that begin so")
    reading_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Compare values, not revisions: a restore changes revisions and nothing else. Exit code 2 where they differ."""
    from etcdmanager.backups.key_summary import changes
    from etcdmanager.backups.keyspace import text_of

    prefix = arguments.prefix.encode(errors="surrogateescape")
    with opened_backup(arguments, arguments.before) as before, opened_backup(arguments, arguments.after) as after:
        old, new = before.keys(prefix), after.keys(prefix)
        found = changes(old, new, [key for key in old if key in after and _differs(before, after, key)])
        revisions = (before.revision, after.revision)
    marked = [("-", key) for key in found.removed] + [("+", key) for key in found.added] + [("~", key) for key in found.changed]
    lines = [f"{mark} {text_of(key)}" for mark, key in sorted(marked, key=lambda pair: pair[1])]
    counts = f"{len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed"
    lines.append(f"{counts} between revisions {revisions[0]} and {revisions[1]}")
    content = {
        "revisions": {"before": revisions[0], "after": revisions[1]},
        "added": [text_of(key) for key in found.added],
        "removed": [text_of(key) for key in found.removed],
        "changed": [text_of(key) for key in found.changed],
    }
    emit(common(arguments), "BackupDifference", content, "\n".join(lines))
    return ExitCode.OK if found.is_empty else ExitCode.FINDING


def _differs(before: Keyspace, after: Keyspace, key: bytes) -> bool:
    return before.get(key).value != after.get(key).value
