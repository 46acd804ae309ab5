"""`etcd-manager browse BACKUP [PREFIX]`: which keys a backup holds and how large they are, grouped like directories."""

from __future__ import annotations

import argparse

from agents.cli import common, common_options, emit, table
from agents.exit_codes import ExitCode
from etcdmanager.commands.backup_keys import backup_option, opened_backup, reading_options, revision_option

_COLUMNS = ("KEYS", "SIZE", "PREFIX")


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    backup_option(parser)
    parser.add_argument("prefix", nargs="?", default="", metavar="PREFIX", help="only keys that begin so, for example /registry/pods/")
    parser.add_argument("--depth", type=int, default=2, metavar="N", help="group by so many parts below PREFIX (default 2; 0: no grouping)")
    parser.add_argument("--sort", choices=("name", "size", "keys"), default="name", help="what comes first (default name)")
    revision_option(parser)
    reading_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Show the groups, and their sum."""
    from etcdmanager.backups.key_summary import grouped
    from etcdmanager.backups.keyspace import text_of
    from etcdmanager.commands.figures import count_text, size_text

    prefix = arguments.prefix.encode(errors="surrogateescape")
    with opened_backup(arguments, arguments.backup, revision=arguments.rev) as keys:
        sizes = {key: keys.stored_bytes(key) for key in keys.keys(prefix)}
        revision = keys.revision
    # No part is longer than a key: with as many parts as that, each key is its own group.
    depth = arguments.depth if arguments.depth > 0 else max(map(len, sizes), default=1)
    groups = list(grouped(sizes, prefix, depth=depth))
    if arguments.sort != "name":
        by_size = arguments.sort == "size"
        groups.sort(key=lambda group: group.stored_bytes if by_size else group.keys, reverse=True)
    stored = sum(sizes.values())
    rows = [(count_text(group.keys), size_text(group.stored_bytes), text_of(group.prefix)) for group in groups]
    text = table(_COLUMNS, rows, right={"KEYS", "SIZE"})
    text += f"\n{count_text(len(sizes))} keys, {size_text(stored)}, revision {count_text(revision)}"
    items = [{"prefix": text_of(group.prefix), "keys": group.keys, "storedBytes": group.stored_bytes} for group in groups]
    content = {"revision": revision, "keys": len(sizes), "storedBytes": stored, "items": items}
    emit(common(arguments), "BackupKeys", content, text)
    return ExitCode.OK
