"""`etcd-manager get BACKUP KEY`: a key's value as a backup has it, in etcdctl's words."""

from __future__ import annotations

import argparse
import base64
import sys
from typing import TYPE_CHECKING

from agents.cli import common, common_options, emit
from agents.errors import NotFoundError
from agents.exit_codes import ExitCode
from etcdmanager.commands.backup_keys import backup_option, opened_backup, reading_options, revision_option

if TYPE_CHECKING:
    from etcdmanager.backups.keyspace import StoredValue


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    backup_option(parser)
    parser.add_argument("key", metavar="KEY", help="for example /registry/configmaps/default/settings")
    parser.add_argument("--prefix", action="store_true", help="all keys that begin so")
    parser.add_argument("--keys-only", action="store_true", help="no values")
    parser.add_argument("--print-value-only", action="store_true", help="the values' bytes and nothing else")
    revision_option(parser)
    reading_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print key and value; values that are no text are named, and come out as they are with --print-value-only."""
    from etcdmanager.backups.keyspace import text_of

    wanted = arguments.key.encode(errors="surrogateescape")
    with opened_backup(arguments, arguments.backup, revision=arguments.rev) as keys:
        names = keys.keys(wanted) if arguments.prefix else (wanted,)
        if not names:
            raise NotFoundError(f"no key begins with {text_of(wanted)} at revision {keys.revision}", code="key-not-found")
        if arguments.print_value_only:
            for name in names:
                sys.stdout.buffer.write(keys.get(name).value)
            return ExitCode.OK
        found = [keys.get(name) for name in names]
    lines = [line for value in found for line in _lines(value, keys_only=arguments.keys_only)]
    emit(common(arguments), "BackupValues", {"items": [_document(value) for value in found]}, "\n".join(lines))
    return ExitCode.OK


def _lines(stored: StoredValue, *, keys_only: bool) -> list[str]:
    from etcdmanager.backups.keyspace import text_of
    from etcdmanager.backups.kubernetes_value import Encoding, describe

    if keys_only:
        return [text_of(stored.key)]
    described = describe(stored.value)
    if described.encoding in {Encoding.TEXT, Encoding.JSON, Encoding.EMPTY}:
        return [text_of(stored.key), stored.value.decode()]
    return [text_of(stored.key), f"<{described}, {len(stored.value)} bytes; --print-value-only gives them>"]


def _document(stored: StoredValue) -> dict[str, object]:
    from etcdmanager.backups.kubernetes_value import describe

    described = describe(stored.value)
    # The names and base64 of `etcdctl get -w json`, so that scripts read both.
    return {
        "key": base64.b64encode(stored.key).decode(),
        "create_revision": stored.create_revision,
        "mod_revision": stored.mod_revision,
        "version": stored.version,
        "value": base64.b64encode(stored.value).decode(),
        "lease": stored.lease,
        "encoding": described.encoding.value,
        "object": described.what,
    }
