"""`etcd-manager prune`: delete backups that retention no longer asks for, by hand; the leading manager does the same once an hour."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from agents.cli import common, common_options, emit
from agents.consent import Consent, ask, consent, consent_options
from agents.durations import parse_human_duration
from agents.errors import SpecError
from agents.exit_codes import ExitCode
from etcdmanager.backups.retention import Retention
from etcdmanager.backups.store import BackupStore
from etcdmanager.commands.target import target_of, target_options, who
from etcdmanager.control.history import Event, History
from etcdmanager.control.store import ControlStore


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    default = Retention()
    parser.add_argument("etcd", nargs="?", default="main", metavar="ETCD", help="main (the default), events, cilium or leases")
    for option, word, length in (("--hourly", "hour", default.hourly), ("--daily", "day", default.daily)):
        text = f"keep the first of each {word} so long (default %(default)s)"
        parser.add_argument(option, default=f"{length.days}d", metavar="DURATION", help=text)
    parser.add_argument("--dry-run", dest="plan", action="store_true", help="as --plan")
    consent_options(parser, subject="whose backups are deleted")
    target_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Show what retention would delete, and delete it when allowed; never the newest, pinned, last verified, or what a restore uses."""
    keep = Retention(hourly=parse_human_duration(arguments.hourly), daily=parse_human_duration(arguments.daily))
    if keep.daily < keep.hourly:
        raise SpecError(f"--daily {arguments.daily} is shorter than --hourly {arguments.hourly}", code="usage")
    target = target_of(arguments, arguments.etcd)
    backups = BackupStore(target.store)
    in_use = {opened.command.backup for opened in ControlStore(target.store).observe().open_commands}
    expired = backups.expired(datetime.now(UTC), keep, protected=in_use)
    allowed = consent(arguments, target.cluster)
    lines = [f"- {name}" for name in expired]
    if allowed is Consent.ASK and expired:
        print("\n".join([*lines, f"{len(expired)} backups of {target.cluster} are deleted for good."]))
        ask(target.cluster)
    if allowed is Consent.PLAN:
        lines.append(f"{len(expired)} backups would be deleted. Nothing has been changed.")
    else:
        history = History(target.store)
        for name in expired:
            backups.delete(name)
            history.note(Event(at=datetime.now(UTC), by=who(), what="prune", text=f"deleted {name}"))
        lines.append(f"{len(expired)} backups deleted.")
    document = {
        "cluster": target.cluster,
        "store": backups.url,
        "deleted": allowed is not Consent.PLAN,
        "items": [{"name": name} for name in expired],
    }
    emit(common(arguments), "BackupPruning", document, "\n".join(lines))
    return ExitCode.OK
