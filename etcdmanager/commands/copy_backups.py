"""`etcd-manager copy-backups --to URL`: bring backups to a second store, for example in another region or account; only what is missing."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime

from agents.cli import common, common_options, emit, table
from agents.durations import parse_human_duration
from agents.errors import AgentError, NotFoundError, SpecError
from agents.exit_codes import ExitCode, exit_code_of
from agents.stores.url import open_store
from etcdmanager.backups.copying import copy_backup, missing_in
from etcdmanager.backups.store import BackupStore
from etcdmanager.commands.figures import size_text
from etcdmanager.commands.target import describe, target_of, target_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    parser.add_argument("etcd", nargs="?", default="main", metavar="ETCD", help="main (the default), events, cilium or leases")
    parser.add_argument("--to", required=True, metavar="URL", help="the other backup store")
    parser.add_argument("--since", metavar="DURATION", help="only those of the last 24h, 7d, …")
    parser.add_argument("--latest", action="store_true", help="only the newest")
    target_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Copy what is missing, newest first; one that fails does not stop the others. The exit code is the first failure's."""
    source = target_of(arguments, arguments.etcd).backups
    target = BackupStore(open_store(arguments.to, environment=os.environ))
    if source.url == target.url:
        raise SpecError(f"--to {target.url} is the store itself", code="usage")
    listed = source.list()
    if not listed:
        raise NotFoundError(f"{source.url} holds no backups", code="backup-not-found", hint="check --state and --name, or --backup-store")
    missing = missing_in(listed, target.list())
    if arguments.since:
        oldest = datetime.now(UTC) - parse_human_duration(arguments.since)
        missing = tuple(backup for backup in missing if backup.taken_at >= oldest)
    if arguments.latest:
        missing = tuple(backup for backup in missing if backup is listed[-1])
    rows: list[tuple[str, str, str]] = []
    items: list[dict[str, object]] = []
    failed: AgentError | None = None
    for backup in reversed(missing):
        try:
            copied = copy_backup(source, target, backup.text)
        except AgentError as error:
            failed = failed or error
            rows.append((backup.text, size_text(backup.size_bytes), describe(error)))
            items.append({"name": backup.text, "ok": False, "code": error.code, "error": str(error)})
        else:
            rows.append((backup.text, size_text(copied.size_bytes), "copied"))
            items.append({"name": backup.text, "ok": True, "sizeBytes": copied.size_bytes})
    text = table(("NAME", "SIZE", "RESULT"), rows, right={"SIZE"}) if rows else f"{target.url} has all of them"
    emit(common(arguments), "BackupCopies", {"from": source.url, "to": target.url, "items": items}, text)
    return ExitCode.OK if failed is None else exit_code_of(failed)
