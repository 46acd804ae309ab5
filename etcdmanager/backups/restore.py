"""Preparing a restore on one member: a verified backup becomes a data directory that lies ready. Nothing that serves is touched.

    download + verify --> a file beside `incoming` --> etcdutl snapshot restore --> looked at --> durable --> `incoming`

`incoming` appears complete or not at all (it is renamed into place last), so that whoever finds it may use it. The swap
itself is the member's work.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from agents.errors import DeadlineError, RefusedError, SpecError, TransientError, VerificationError
from agents.host.command import clean_environment
from agents.versions import Version
from etcdmanager.backups.bolt import Summary, read_summary
from etcdmanager.backups.pace import Report, paced
from etcdmanager.backups.store import BackupStore
from etcdmanager.backups.tool import RestoreArguments, RestoreTool, choose_tool, command_line
from etcdmanager.backups.verify import Verified, probable_db_size, require_room, unpack
from etcdmanager.peering.messages import BinariesReport, PreparedRestore, Progress

log = logging.getLogger(__name__)

#: The unpacked snapshot, the restored database, and half of one for what the bump rewrites. Rule S10.
_ROOM_FACTOR = 2.5
#: Two preallocated WAL files.
_WAL_BYTES = 128 << 20
#: How often the growing database is looked at.
_LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOrder:
    """What is to be prepared for which member."""

    backup: str
    #: Where the data directory is to appear; it must not exist. Its parent is on the data volume.
    incoming: Path
    name: str
    #: Peer URLs of all members of the restored cluster, by name.
    initial_cluster: Mapping[str, tuple[str, ...]]
    token: str
    #: The version that will run.
    etcd_version: str
    #: How far the revision is raised above the backup's, so that no client has seen any of the revisions to come; 0 for not.
    bump_revision: int = 1_000_000_000


class _StoppedError(Exception):
    """Raised in the worker thread when nobody waits for it any more."""


async def prepare(
    order: RestoreOrder,
    *,
    backups: BackupStore,
    binaries: Sequence[BinariesReport],
    deadline: timedelta,
    report: Report | None = None,
) -> PreparedRestore:
    """Make `order.incoming` from a backup and return its figures.

    Errors: NotFoundError and VerificationError about the backup; RefusedError S9 (no fitting etcd) and S10 (no room); DeadlineError;
    TransientError where the tool or the store failed. After any of them, and after cancellation, nothing of it is left.
    `report` is called from a thread as well as from the loop.
    """
    began = time.monotonic()
    version = Version.parse(order.etcd_version)
    # Versions are compared before anything is fetched; a manifest may know better than the metadata.
    meta = await asyncio.to_thread(backups.meta, order.backup)
    choose_tool(binaries, run_as=version, written_by=Version.parse(meta.etcd_version))
    if order.name not in order.initial_cluster:
        raise SpecError(f"{order.name} is none of the members to restore: {', '.join(sorted(order.initial_cluster))}")
    if order.incoming.exists():
        raise RefusedError(f"{order.incoming} exists already; abort the earlier restore first", code="restore-incoming-exists")
    work = order.incoming.with_name(f".{order.incoming.name}.work")
    stop, say = threading.Event(), paced(report)
    try:
        async with asyncio.timeout(deadline.total_seconds()):
            verified = await asyncio.to_thread(_fetch, order, backups, work, stop, say)
            tool = choose_tool(binaries, run_as=version, written_by=Version.parse(verified.server_version))
            await _run_tool(tool, order, work, verified, say)
            restored = await asyncio.to_thread(_finish, order, work, verified, tool)
    except TimeoutError as error:
        raise DeadlineError(f"preparing the restore of {order.backup} took longer than {deadline}", code="restore-deadline") from error
    finally:
        stop.set()
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, work, ignore_errors=True))
    bumped = bool(order.bump_revision) and tool.can_bump
    return PreparedRestore(
        revision=restored.revision,
        keys=verified.contents.keys,
        leases=restored.leases,
        db_size_bytes=restored.size_bytes,
        revision_bumped=bumped,
        marked_compacted=bumped,
        tool=str(tool),
        duration_ms=int((time.monotonic() - began) * 1000),
    )


def _fetch(order: RestoreOrder, backups: BackupStore, work: Path, stop: threading.Event, report: Report) -> Verified:
    """Unpack and prove the backup into `work`; runs in a thread, and ends soon after `stop` is set."""

    def say(progress: Progress) -> None:
        if stop.is_set():
            raise _StoppedError
        report(progress)

    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700, parents=True)
    listed = backups.resolve(order.backup)
    size = probable_db_size(listed, backups.manifest(order.backup))
    require_room(work, int(size * _ROOM_FACTOR) + _WAL_BYTES)
    with (work / "snapshot.db").open("w+b") as file:
        return unpack(backups, order.backup, file, room=work, report=say, reopen=False)


async def _run_tool(tool: RestoreTool, order: RestoreOrder, work: Path, verified: Verified, report: Report) -> None:
    """Run the restore tool into `work`/data and tell how far it is by the size of what it writes."""
    arguments = RestoreArguments(
        snapshot=work / "snapshot.db",
        data_dir=work / "data",
        name=order.name,
        initial_cluster=order.initial_cluster,
        token=order.token,
        bump_revision=order.bump_revision,
    )
    process = await asyncio.create_subprocess_exec(
        *command_line(tool, arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=clean_environment({"ETCDCTL_API": "3"}),
        start_new_session=True,
    )
    ended = asyncio.create_task(process.communicate())
    total = verified.snapshot.db_size_bytes
    try:
        while not (await asyncio.wait({ended}, timeout=_LOOK_SECONDS))[0]:
            report(Progress(stage="restore", done_bytes=min(_size(work / "data/member/snap/db"), total), total_bytes=total))
        _, stderr = ended.result()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        ended.cancel()
    if process.returncode != 0:
        said = stderr.decode(errors="replace").strip()[-500:]
        raise TransientError(f"{tool} ended with {process.returncode}: {said}", code="restore-tool")
    report(Progress(stage="restore", done_bytes=total, total_bytes=total))


def _finish(order: RestoreOrder, work: Path, verified: Verified, tool: RestoreTool) -> Summary:
    """Look at what was restored, make it durable and put it into its place."""
    data = work / "data"
    with (data / "member/snap/db").open("rb") as file:
        restored = read_summary(file)
        os.fsync(file.fileno())
    wanted = verified.contents
    raised = order.bump_revision if tool.can_bump else 0
    # An empty database has written no revision yet (etcd counts from 1), so the tool raises from 0.
    written = wanted.revision if wanted.revision > 1 else 0
    if restored.leases != wanted.leases or restored.revision < written + raised:
        raise VerificationError(
            f"{tool} restored {restored.leases} leases at revision {restored.revision}; "
            f"the backup has {wanted.leases} at {wanted.revision}, to be raised by {raised}",
            code="restore-differs",
        )
    for directory, _, _ in os.walk(data):
        _fsync_directory(Path(directory))
    data.rename(order.incoming)
    _fsync_directory(order.incoming.parent)
    return restored


def _fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
