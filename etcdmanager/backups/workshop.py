"""A backup restored as it is into a directory of this machine, for a scratch etcd: what proofs, drills and replays begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from agents.host.local import LocalHost
from etcdmanager.backups.pace import Report
from etcdmanager.backups.restore import RestoreOrder, prepare
from etcdmanager.backups.scratch import SCRATCH_PEER_URL
from etcdmanager.backups.store import BackupStore
from etcdmanager.member.binaries import BinaryShelf
from etcdmanager.peering.messages import BinariesReport

_DEADLINE = timedelta(minutes=30)
_NAME = "scratch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A data directory, and the etcd that runs it."""

    data_dir: Path
    etcd: Path
    name: str


async def restore_here(
    backups: BackupStore, backup: str, *, written_by: str, room: Path, directories: Sequence[str], report: Report | None = None
) -> Restored:
    """Restore a backup that etcd `written_by` wrote into `room`, with its revisions as they are.

    `directories` are looked into for etcd's programs, besides the usual places. NotFoundError `etcd-binary-missing` where none fits;
    errors of `prepare`.
    """
    shelf = BinaryShelf(LocalHost(), directories)
    runs = shelf.find(written_by)
    reports = [
        BinariesReport(version=str(b.version), directory=b.directory, has_etcdctl=b.etcdctl is not None, has_etcdutl=b.etcdutl is not None)
        for b in (runs, *shelf.all())
    ]
    order = RestoreOrder(
        backup=backup,
        incoming=room / "data",
        name=_NAME,
        initial_cluster={_NAME: (SCRATCH_PEER_URL,)},
        token=_NAME,
        etcd_version=str(runs.version),
        # The cluster's own hash, and the deltas, are of the revisions as they were.
        bump_revision=0,
    )
    await prepare(order, backups=backups, binaries=reports, deadline=_DEADLINE, report=report)
    return Restored(data_dir=order.incoming, etcd=Path(runs.etcd), name=_NAME)
