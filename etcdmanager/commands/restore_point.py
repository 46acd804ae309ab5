"""`restore-backup --at`: a moment or a revision, as a backup that is made for it on this machine, from deltas."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agents.durations import format_age
from agents.errors import SpecError
from agents.timestamps import format_timestamp
from etcdmanager.backups.store import BackupStore
from etcdmanager.commands.figures import count_text
from etcdmanager.commands.target import who
from etcdmanager.peering.messages import Progress
from etcdmanager.spec import ClusterSpec

if TYPE_CHECKING:
    from etcdmanager.deltas.point_in_time import Point


def point_options(parser: argparse.ArgumentParser) -> None:
    """Add --at and --binaries."""
    parser.add_argument(
        "--at", metavar="TIME|REVISION", help="not a backup: what was there at 2026-08-22T02:47:30Z, 15m ago, or a revision"
    )
    parser.add_argument("--binaries", action="append", default=[], metavar="DIR", help="where etcd and its tools are, for --at; repeatable")


def find_point(at: str, backups: BackupStore) -> Point:
    """Return the way to what --at names; NotFoundError that says what can be restored."""
    from etcdmanager.deltas.point_in_time import PointInTime, parse_point

    found = PointInTime(backups)
    wanted = parse_point(at, now=datetime.now(UTC))
    return found.at_revision(wanted) if isinstance(wanted, int) else found.at_time(wanted)


def describe_point(point: Point, *, now: datetime) -> list[str]:
    """Return the way in words."""
    path = point.path
    return [
        f"Revision {count_text(path.revision)}, the newest one at {format_timestamp(point.at)} ({format_age(now - point.at)} ago)",
        f"  full backup   {path.full.name}, revision {count_text(path.full.revision)}",
        f"  deltas        {len(path.spans)} of {path.lineage}: {count_text(path.revision - path.full.revision)} revisions",
    ]


def point_document(point: Point) -> dict[str, object]:
    """Return the way for --json."""
    path = point.path
    return {
        "revision": path.revision,
        "at": format_timestamp(point.at),
        "fullBackup": path.full.name,
        "fullRevision": path.full.revision,
        "lineage": str(path.lineage),
        "deltas": [{"first": span.first, "last": span.last} for span in path.spans],
    }


def backup_of(point: Point, backups: BackupStore, arguments: argparse.Namespace, spec: ClusterSpec | None) -> str:
    """Make the backup of a point in time, and return its name; it stays in the store, pinned."""
    from agents.clock import SystemClock
    from etcdmanager.deltas.materialise import Materialiser

    spec = spec or backups.meta(point.path.full.name).spec
    if spec is None:
        raise SpecError("neither the control store nor the full backup names a cluster spec", hint="etcd-manager-ctl configure-cluster")
    maker = Materialiser(backups, directories=arguments.binaries, scratch=Path(arguments.scratch), clock=SystemClock(), by=who())
    taken = asyncio.run(maker.make(point, spec=spec, report=_say))
    sys.stderr.write(f"revision {point.path.revision} is backup {taken.name} now, pinned\n")
    return taken.name


def _say(progress: Progress) -> None:
    if sys.stderr.isatty() and progress.total_bytes:
        sys.stderr.write(f"\r\x1b[K {progress.stage} {100 * progress.done_bytes // progress.total_bytes} %")
        if progress.done_bytes >= progress.total_bytes:
            sys.stderr.write("\r\x1b[K")
