"""What `browse`, `get`, `diff` and `extract` share: a backup opened on this machine, proven, and read without an etcd."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.errors import NotFoundError, SpecError
from etcdmanager.backups.keyspace import Keyspace, keyspace
from etcdmanager.commands.target import target_of, target_options


def reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all of them have."""
    parser.add_argument("--etcd", default="main", metavar="ETCD", help="main (the default), events, cilium or leases")
    parser.add_argument("--scratch", metavar="DIR", default=tempfile.gettempdir(), help="where to unpack (default: TMPDIR)")
    target_options(parser)


def backup_option(parser: argparse.ArgumentParser) -> None:
    """Add the word BACKUP."""
    parser.add_argument(
        "backup", metavar="BACKUP", help="its name, a beginning that only one has, latest, oldest, or the path of a snapshot file"
    )


def revision_option(parser: argparse.ArgumentParser) -> None:
    """Add --rev."""
    parser.add_argument("--rev", type=int, default=0, metavar="N", help="as of this revision (default: the newest in the backup)")


@contextmanager
def opened_backup(arguments: argparse.Namespace, backup: str, *, revision: int = 0) -> Iterator[Keyspace]:
    """Fetch, prove and open a backup: one of the store, or a file that `etcdctl snapshot save` wrote (a word with a slash in it).

    VerificationError where it is damaged: what is shown was in the cluster. Nothing is left on disk.
    """
    scratch = Path(arguments.scratch)
    if "/" in backup:
        with _snapshot_file(Path(backup), revision) as opened:
            yield opened
        return
    from etcdmanager.backups.verify import unpack

    backups = target_of(arguments, arguments.etcd).backups
    name = backups.resolve(backup).text
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=scratch) as file:
        # keyspace() opens the database anyway.
        verified = unpack(backups, name, file, room=scratch, reopen=False)
        with keyspace(file, size_bytes=verified.snapshot.db_size_bytes, revision=revision) as opened:
            yield opened


@contextmanager
def _snapshot_file(path: Path, revision: int) -> Iterator[Keyspace]:
    from etcdmanager.etcd.snapshot import SnapshotCheck

    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist", hint="a backup of the store is named without a slash") from error
    except IsADirectoryError as error:
        raise SpecError(f"{path} is a directory, wanted a snapshot file", hint=f"for a store: --backup-store {path} latest") from error
    with file:
        check = SnapshotCheck()
        while piece := file.read(1 << 20):
            check.feed(piece)
        with keyspace(file, size_bytes=check.finish().db_size_bytes, revision=revision) as opened:
            yield opened
