"""`etcd-manager keep` and `unkeep`: pin a backup against retention, and let it go again."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from agents.cli import common, common_options, emit
from etcdmanager.backups.store import BackupStore
from etcdmanager.commands.backup_argument import backup_argument, etcd_and_backup
from etcdmanager.commands.target import target_of, target_options, who
from etcdmanager.control.history import Event, History


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of both verbs."""
    backup_argument(parser)
    target_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Pin a backup."""
    _set(arguments, kept=True)


def run_unkeep(arguments: argparse.Namespace) -> None:
    """Let retention decide again."""
    _set(arguments, kept=False)


def _set(arguments: argparse.Namespace, *, kept: bool) -> None:
    etcd, wanted = etcd_and_backup(arguments)
    backups = BackupStore(target_of(arguments, etcd).store)
    name = backups.resolve(wanted).text
    (backups.pin if kept else backups.unpin)(name)
    event = Event(at=datetime.now(UTC), by=who(), what="keep" if kept else "unkeep", text=name)
    History(backups.store).note(event)
    text = f"{name} is kept until somebody unkeeps it" if kept else f"{name} is subject to retention again"
    emit(common(arguments), "Backup", {"name": name, "kept": kept}, text)
