"""`etcd-manager extract BACKUP PREFIX --out DIR`: values of a backup as files, one for each key, and an index of them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from agents.cli import common, common_options, emit
from agents.errors import NotFoundError, RefusedError
from agents.exit_codes import ExitCode
from etcdmanager.commands.backup_keys import backup_option, opened_backup, reading_options, revision_option

if TYPE_CHECKING:
    from etcdmanager.backups.keyspace import StoredValue

INDEX = "index.json"


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    backup_option(parser)
    parser.add_argument("prefix", metavar="PREFIX", help="the keys that begin so; / for all of Kubernetes'")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write; must be empty or not exist yet")
    revision_option(parser)
    reading_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Write the files, readable by their owner alone: there are Secrets among them."""
    from agents.documents import dump_json
    from etcdmanager.backups.key_files import file_of
    from etcdmanager.backups.keyspace import text_of

    out: Path = arguments.out
    if out.exists() and any(out.iterdir()):
        raise RefusedError(f"--out {out} is not empty; nothing in it is overwritten", hint="name a directory that does not exist yet")
    prefix = arguments.prefix.encode(errors="surrogateescape")
    items: list[dict[str, object]] = []
    with opened_backup(arguments, arguments.backup, revision=arguments.rev) as keys:
        names = keys.keys(prefix)
        if not names:
            raise NotFoundError(f"no key begins with {text_of(prefix)} at revision {keys.revision}", code="key-not-found")
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in names:
            stored = keys.get(name)
            path = file_of(name)
            _write(out / path, stored.value)
            items.append(_entry(stored, path))
        revision = keys.revision
    index = {"revision": revision, "items": items}
    _write(out / INDEX, dump_json(index).encode())
    emit(common(arguments), "BackupExtract", {"directory": str(out), **index}, f"{len(items)} values of revision {revision} are in {out}")
    return ExitCode.OK


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _entry(stored: StoredValue, path: str) -> dict[str, object]:
    from etcdmanager.backups.keyspace import text_of

    return {
        "key": text_of(stored.key),
        "file": path,
        "createRevision": stored.create_revision,
        "modRevision": stored.mod_revision,
        "lease": stored.lease,
    }
