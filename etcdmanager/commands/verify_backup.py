"""`etcd-manager verify-backup`: prove that stored backups are good, and remember it.

Light reads a backup back: gzip, the SHA-256 behind the database, every page, the counts, the manifest. --deep restores it into a scratch
directory and boots an etcd from it. Nothing of the cluster is touched.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agents.cli import common, common_options, emit, table
from agents.errors import AgentError, SpecError, VerificationError
from agents.exit_codes import ExitCode, exit_code_of
from etcdmanager.backups.store import BackupStore
from etcdmanager.backups.verify import Booted, Verified, boot, compare_booted, record, verify_light
from etcdmanager.commands.backup_argument import backup_argument, etcd_and_backup
from etcdmanager.commands.figures import count_text, size_text
from etcdmanager.commands.target import describe, target_of, target_options, who


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    backup_argument(parser, optional=True)
    parser.add_argument("--all", action="store_true", help="every backup of the store, oldest first")
    parser.add_argument("--deep", action="store_true", help="restore into a scratch directory and boot an etcd from it")
    parser.add_argument(
        "--binaries", action="append", default=[], metavar="DIR", help="where etcd and its tools are, for --deep; repeatable"
    )
    parser.add_argument("--scratch", metavar="DIR", default=tempfile.gettempdir(), help="where to unpack (default: TMPDIR)")
    target_options(parser)
    common_options(parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    name: str
    seconds: float
    verified: Verified | None = None
    booted: Booted | None = None
    error: AgentError | None = None


def run(arguments: argparse.Namespace) -> ExitCode:
    """Verify; the exit code is the first failure's."""
    etcd, wanted = etcd_and_backup(arguments, default="latest")
    target = target_of(arguments, etcd)
    backups = target.backups
    newest = backups.resolve(wanted)  # where there is none at all, --all has nothing that it could call good
    names = [backup.text for backup in backups.list()] if arguments.all else [newest.text]
    outcomes = [_verify(backups, name, arguments) for name in names]
    rows = [_row(outcome) for outcome in outcomes]
    text = table(("NAME", "RESULT", "REVISION", "KEYS", "LEASES", "DB", "TOOK"), rows, right={"REVISION", "KEYS", "LEASES", "DB", "TOOK"})
    text += "".join(f"\n! {outcome.name}: {describe(outcome.error)}" for outcome in outcomes if outcome.error)
    emit(common(arguments), "BackupVerification", {"store": backups.url, "items": [_document(outcome) for outcome in outcomes]}, text)
    failed = next((outcome.error for outcome in outcomes if outcome.error), None)
    return ExitCode.OK if failed is None else exit_code_of(failed)


def _verify(backups: BackupStore, name: str, arguments: argparse.Namespace) -> _Outcome:
    began = time.monotonic()
    scratch = Path(arguments.scratch)
    try:
        verified = verify_light(backups, name, scratch=scratch)
        booted = asyncio.run(_deep(backups, verified, scratch, arguments.binaries)) if arguments.deep else None
        record(backups, verified, kind="deep" if booted else "light", now=datetime.now(UTC), by=who())
    except AgentError as error:
        return _Outcome(name=name, seconds=time.monotonic() - began, error=error)
    return _Outcome(name=name, seconds=time.monotonic() - began, verified=verified, booted=booted)


async def _deep(backups: BackupStore, verified: Verified, scratch: Path, directories: list[str]) -> Booted:
    from etcdmanager.backups.workshop import restore_here

    with tempfile.TemporaryDirectory(prefix="verify-", dir=scratch) as room:
        restored = await restore_here(backups, verified.name, written_by=verified.server_version, room=Path(room), directories=directories)
        booted = await boot(restored.data_dir, etcd=restored.etcd, name=restored.name)
    compare_booted(verified, booted)
    return booted


def _row(outcome: _Outcome) -> list[object]:
    took = f"{outcome.seconds:.1f}s"
    if outcome.verified is None:
        # Only data can be bad: a full disk or a missing etcd says nothing of the backup.
        result = "BAD" if isinstance(outcome.error, VerificationError | SpecError) else "not proven"
        return [outcome.name, result, None, None, None, None, took]
    contents = outcome.verified.contents
    result = "ok, boots" if outcome.booted else "ok"
    counts = [count_text(contents.revision), count_text(contents.keys), contents.leases, size_text(contents.size_bytes)]
    return [outcome.name, result, *counts, took]


def _document(outcome: _Outcome) -> dict[str, object]:
    document: dict[str, object] = {"name": outcome.name, "ok": outcome.error is None, "seconds": round(outcome.seconds, 3)}
    if outcome.error is not None:
        document |= {"code": outcome.error.code, "error": str(outcome.error)}
    if outcome.verified is not None:
        contents = outcome.verified.contents
        document |= {
            "kind": "deep" if outcome.booted else "light",
            "revision": contents.revision,
            "keys": contents.keys,
            "leases": contents.leases,
            "dbSizeBytes": contents.size_bytes,
            "dbSha256": outcome.verified.snapshot.db_sha256,
        }
    return document
