"""`etcd-manager check`: is there a verified backup that is young enough? One line, for monitoring from outside of the cluster.

With --nagios it exits as plugins do: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN; without, 0 or 2, and errors as every verb has them.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from agents.cli import common, common_options, emit
from agents.durations import parse_human_duration
from agents.errors import AgentError, SpecError
from agents.exit_codes import ExitCode
from etcdmanager.backups.freshness import Level, Seen, verdict
from etcdmanager.backups.store import BackupStore, Listed
from etcdmanager.commands.cluster_status import STALE_AFTER, read_report
from etcdmanager.commands.target import Target, describe, target_of, target_options

#: Manifests are read from the newest backup on until so many verified ones are found.
_ENOUGH_VERIFIED = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    parser.add_argument("etcd", nargs="?", default="main", metavar="ETCD", help="main (the default), events, cilium or leases")
    parser.add_argument("--max-age", default="30m", metavar="DURATION", help="how old the newest verified backup may be (default 30m)")
    parser.add_argument("--nagios", action="store_true", help="exit codes and performance data of a monitoring plugin")
    target_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Judge, and say it on one line."""
    try:
        return _run(arguments)
    except AgentError as error:
        if not arguments.nagios:
            raise
        print(f"ETCD BACKUP UNKNOWN - {describe(error)}")
        return Level.UNKNOWN


def _run(arguments: argparse.Namespace) -> int:
    max_age = parse_human_duration(arguments.max_age)
    target = target_of(arguments, arguments.etcd)
    backups = BackupStore(target.store)
    listed = backups.list()
    good = {backup.text for backup in backups.verified(listed, at_most=_ENOUGH_VERIFIED)}
    now = datetime.now(UTC)
    found = verdict(_seen(listed, good), told_at=_told_at(target), now=now, max_age=max_age, stale_after=STALE_AFTER)
    text = f"ETCD BACKUP {found.level.name} - {target.cluster} {target.etcd}: {found.message}"
    if arguments.nagios and found.age is not None:
        text += f" | age={found.age.total_seconds():.0f}s;;{max_age.total_seconds():.0f};0 backups={len(listed)}"
    document = {
        "cluster": target.cluster,
        "etcd": target.etcd,
        "level": found.level.name,
        "message": found.message,
        "ageSeconds": None if found.age is None else found.age.total_seconds(),
        "backups": len(listed),
    }
    emit(common(arguments), "BackupCheck", document, text)
    if arguments.nagios:
        return found.level
    return ExitCode.OK if found.level is Level.OK else ExitCode.FINDING


def _seen(listed: tuple[Listed, ...], good: set[str]) -> tuple[Seen, ...]:
    return tuple(Seen(name=backup.text, taken_at=backup.taken_at, verified=backup.text in good) for backup in listed)


def _told_at(target: Target) -> datetime | None:
    """Return when a leading manager last told how the cluster is; None also where its document cannot be read."""
    try:
        return read_report(target.store, target.etcd).told_at
    except SpecError:
        return None
