"""`etcd-manager list-backups`: what lies in a backup store, newest first, with everything that manifests tell."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from agents.cli import common, common_options, emit, table
from agents.durations import format_age, parse_human_duration
from agents.errors import AgentError
from agents.exit_codes import ExitCode
from agents.timestamps import format_timestamp
from etcdmanager.backups.manifest import Manifest
from etcdmanager.backups.store import BackupStore, Listed
from etcdmanager.commands.figures import count_text, size_text
from etcdmanager.commands.target import target_of, target_options
from etcdmanager.deltas.point_in_time import PointInTime, Window

#: Manifests are small objects; a bucket answers each in some 20 ms.
_READERS = 16
_COLUMNS = ("ID", "NAME", "AGE", "SIZE", "ETCD", "REVISION", "KEYS", "MEMBERS", "STATE", "WHY")
_WIDE = ("LEASES", "DB", "TOOK", "LABEL", "SHA256")
_RIGHT = {"ID", "AGE", "SIZE", "REVISION", "KEYS", "MEMBERS", "LEASES", "DB", "TOOK"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    parser.add_argument("etcd", nargs="?", default="main", metavar="ETCD", help="main (the default), events, cilium or leases")
    parser.add_argument("--since", metavar="DURATION", help="only those of the last 24h, 7d, …")
    parser.add_argument(
        "-o", "--output", choices=("table", "wide", "json", "legacy"), default="table", help="legacy: names only, as the Go tool"
    )
    target_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """List; exit code 2 where the newest backup is missing its data or there is none at all."""
    target = target_of(arguments, arguments.etcd)
    backups = target.backups
    listed = backups.list()
    if arguments.output == "legacy":
        print(f"Backup Store: {backups.url}")
        for backup in listed:
            print(backup.text)
        return ExitCode.OK
    now = datetime.now(UTC)
    shown = listed
    if arguments.since:
        oldest = now - parse_human_duration(arguments.since)
        shown = tuple(backup for backup in listed if backup.taken_at >= oldest)
    rows = [_Row(backup, manifest, version) for backup, manifest, version in _read(backups, shown)]
    options = common(arguments)
    windows = PointInTime(backups).windows()
    text = _text(rows, now, wide=arguments.output == "wide") if rows else _nothing(backups, listed, since=arguments.since)
    text += "".join(f"\n{_window_text(window, now)}" for window in windows)
    if arguments.output == "json":
        from dataclasses import replace

        options = replace(options, json=True)
    content: dict[str, object] = {
        "cluster": target.cluster,
        "etcd": target.etcd,
        "store": backups.url,
        "items": [row.document() for row in rows],
    }
    content["pointInTime"] = [_window_document(window) for window in windows]
    emit(options, "BackupList", content, text)
    return ExitCode.OK if rows and rows[0].listed.size_bytes else ExitCode.FINDING


def _window_text(window: Window, now: datetime) -> str:
    first = format_timestamp(window.first.taken_at)
    revisions = f"revisions {count_text(window.first.revision)} to {count_text(window.last_revision)}"
    if window.until is None:
        return f"! from {first} on, {revisions}, but the newest delta cannot be read: {window.problem}"
    until = format_timestamp(window.until)
    return f"any moment from {first} to {until} ({format_age(now - window.until)} ago), {revisions}: restore-backup --at"


def _window_document(window: Window) -> dict[str, object]:
    return {
        "lineage": str(window.lineage),
        "from": format_timestamp(window.first.taken_at),
        "until": format_timestamp(window.until) if window.until is not None else None,
        "problem": window.problem,
        "firstRevision": window.first.revision,
        "lastRevision": window.last_revision,
    }


def _nothing(backups: BackupStore, listed: tuple[Listed, ...], *, since: str | None) -> str:
    if not listed:
        return f"{backups.url} holds no backups (is it the right store?)"
    return f"{backups.url} holds {len(listed)} backups, none of the last {since}; the newest is {listed[-1].text}"


class _Row:
    """A backup with what was read about it."""

    def __init__(self, listed: Listed, manifest: Manifest | None, version: str) -> None:
        self.listed = listed
        self.manifest = manifest
        self.version = version

    @property
    def state(self) -> str:
        if not self.listed.size_bytes:
            return "NO DATA"
        sealed = ", encrypted" if self.manifest is not None and self.manifest.encryption_key else ""
        if self.manifest is None or not self.manifest.verified:
            return f"unverified{sealed}"
        return "verified" + (" (deep)" if any(check.kind == "deep" for check in self.manifest.checks) else "") + sealed

    def cells(self, number: int, now: datetime, *, wide: bool) -> list[object]:
        manifest, listed = self.manifest, self.listed
        cells: list[object] = [
            "L" if number == 0 else number,
            listed.text,
            format_age(now - listed.taken_at),
            size_text(listed.size_bytes),
            self.version or None,
            count_text(manifest.revision) if manifest else None,
            count_text(manifest.keys) if manifest else None,
            len(manifest.members) if manifest else None,
            self.state,
            (manifest.reason if manifest else "") + (" (kept)" if listed.kept else ""),
        ]
        if wide:
            cells += [
                manifest.leases if manifest else None,
                size_text(manifest.db_size_bytes) if manifest else None,
                f"{manifest.took_seconds:.1f}s" if manifest else None,
                manifest.label if manifest else "",
                manifest.gz_sha256[:12] if manifest else None,
            ]
        return cells

    def document(self) -> dict[str, object]:
        manifest = self.manifest
        document: dict[str, object] = {
            "name": self.listed.text,
            "takenAt": format_timestamp(self.listed.taken_at),
            "sizeBytes": self.listed.size_bytes,
            "etcdVersion": self.version,
            "state": self.state,
            "kept": self.listed.kept,
        }
        if manifest is not None:
            document |= {
                "revision": manifest.revision,
                "keys": manifest.keys,
                "leases": manifest.leases,
                "dbSizeBytes": manifest.db_size_bytes,
                "members": [member.name for member in manifest.members],
                "reason": manifest.reason,
                "label": manifest.label,
                "encryptionKey": manifest.encryption_key,
                "checks": [{"kind": check.kind, "at": format_timestamp(check.checked_at)} for check in manifest.checks],
            }
        return document


def _read(backups: BackupStore, listed: tuple[Listed, ...]) -> list[tuple[Listed, Manifest | None, str]]:
    """Return each backup with its manifest and its etcd version, newest first."""

    def one(backup: Listed) -> tuple[Listed, Manifest | None, str]:
        manifest = backups.manifest(backup.text) if backup.has_manifest else None
        if manifest is not None:
            return backup, manifest, manifest.server_version
        try:
            return backup, None, backups.meta(backup.text).etcd_version
        except AgentError:
            return backup, None, ""

    with ThreadPoolExecutor(max_workers=_READERS) as pool:
        return list(pool.map(one, reversed(listed)))


def _text(rows: list[_Row], now: datetime, *, wide: bool) -> str:
    headers = (*_COLUMNS, *_WIDE) if wide else _COLUMNS
    return table(headers, [row.cells(number, now, wide=wide) for number, row in enumerate(rows)], right=_RIGHT)
