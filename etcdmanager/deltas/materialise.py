"""A point in time as an ordinary backup: the full backup before it, restored into a scratch etcd, the deltas replayed, and backed up again.

What comes out is in the store under the name of that time, pinned, and is restored like any other: also by the Go programs.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from agents.clock import Clock
from agents.errors import NotFoundError
from etcdmanager.backups.pace import Report, paced
from etcdmanager.backups.scratch import scratch_etcd
from etcdmanager.backups.store import BackupStore
from etcdmanager.backups.take import BackupOrder, BackupTaker
from etcdmanager.backups.workshop import restore_here
from etcdmanager.deltas.point_in_time import Point
from etcdmanager.deltas.replay import SCRATCH_ARGUMENTS, replay
from etcdmanager.deltas.store import DeltaStore
from etcdmanager.peering.messages import TakenBackup
from etcdmanager.spec import ClusterSpec


class Materialiser:
    """Makes backups of points in time on this machine; `directories` are where etcd's programs are, besides the usual places."""

    def __init__(self, backups: BackupStore, *, directories: Sequence[str], scratch: Path, clock: Clock, by: str) -> None:
        self._backups = backups
        self._deltas = DeltaStore(backups.store, backups.keys)
        self._directories = directories
        self._scratch = scratch
        self._clock = clock
        self._by = by

    async def make(self, point: Point, *, spec: ClusterSpec, report: Report | None = None) -> TakenBackup:
        """Make the backup, and return it. Only that is written; after an error there is none.

        NotFoundError where an etcd program, a delta or the full backup is missing; VerificationError where one of them is damaged or the
        revisions do not come out as they were.
        """
        path, say = point.path, paced(report)
        base = await asyncio.to_thread(self._backups.manifest, path.full.name)
        if base is None:
            raise NotFoundError(f"{path.full.name} has no manifest any more", code="no-base-backup")
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="replay-", dir=self._scratch) as room:
            restored = await restore_here(
                self._backups,
                path.full.name,
                written_by=base.server_version,
                room=Path(room),
                directories=self._directories,
                report=say,
            )
            async with scratch_etcd(restored.data_dir, etcd=restored.etcd, name=restored.name, arguments=SCRATCH_ARGUMENTS) as client:
                await replay(client, path, (self._deltas.read(path.lineage, span) for span in path.spans), report=say)
                order = BackupOrder(
                    etcd_cluster=base.etcd_cluster,
                    spec=spec,
                    reason="point-in-time",
                    cluster=base.cluster,
                    label=f"revision {path.revision}",
                    keep=True,
                    taken_at=point.at,
                )
                taker = BackupTaker(scratch=self._scratch, clock=self._clock, by=self._by)
                return await taker.take(client, self._backups, order, report=say)
