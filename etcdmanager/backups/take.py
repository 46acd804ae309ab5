"""Taking a backup of one member: snapshot, digest, compress and store in one pass, then open it, read the stored back, then commit.

    etcd --pieces--> event loop --1 MiB--> one thread: SHA-256, scratch file, gzip (, AES) --> Store --read back--> the same SHA-256?
                                                            |
                                           opened and counted; the metadata is written last

Memory stays constant whatever the database's size; the scratch file needs the database's size on disk, and where there
is no room for it the backup is taken all the same and stands as not verified. A backup whose SHA-256 does not
hold, or that does not open, never becomes one.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import queue
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

from agents.clock import Clock
from agents.errors import AgentError, TransientError, VerificationError
from etcdmanager.backups.bolt import Contents, read_contents
from etcdmanager.backups.compression import deflater
from etcdmanager.backups.encryption import BackupKeys, sealed
from etcdmanager.backups.manifest import Check, Manifest, ManifestMember
from etcdmanager.backups.meta import BackupMeta
from etcdmanager.backups.name import BackupName
from etcdmanager.backups.pace import Report, paced
from etcdmanager.backups.store import BackupStore
from etcdmanager.backups.stored import require_stored
from etcdmanager.etcd.answers import HashKV, MemberList, MemberStatus
from etcdmanager.etcd.snapshot import SnapshotCheck, SnapshotDigest
from etcdmanager.peering.messages import Progress, TakenBackup
from etcdmanager.spec import ClusterSpec

if TYPE_CHECKING:
    from etcdmanager.etcd.client import EtcdClient

log = logging.getLogger(__name__)

#: Between loop and thread; etcd's pieces of 32 KiB would cost a hand-over each.
_PIECE_BYTES = 1 << 20
#: Pieces that may wait for the thread: enough to bridge a hiccup of the store, little enough to be no memory.
_DEPTH = 16
#: Free room beyond the database's size that a scratch file must leave.
_ROOM_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupOrder:
    """What is to be said about a backup."""

    #: Of the etcd cluster in the manager: "etcd", "etcd-events".
    etcd_cluster: str
    #: The desired cluster, for the Go tools.
    spec: ClusterSpec
    #: schedule, request, pre-restore, pre-upgrade, membership.
    reason: str
    #: kops' cluster name, where it is known.
    cluster: str = ""
    label: str = ""
    #: Pin it against retention.
    keep: bool = False
    #: What its name says, where that is not now: the point in time that was restored into a scratch etcd. None: now.
    taken_at: datetime | None = None
    #: Ask etcd for its own hash of the keys too. It reads the database once more, beside its clients.
    hash_keys: bool = False


class BackupTaker:
    """Takes backups for one manager, one at a time; holds the counter that tells backups of one second apart."""

    def __init__(self, *, scratch: Path, clock: Clock, by: str) -> None:
        self._scratch = scratch
        self._clock = clock
        self._by = by
        #: It begins anywhere: two managers, or two lives of one, must not agree on a name within one second.
        self._counter = secrets.randbelow(1_000_000)

    async def take(self, etcd: EtcdClient, backups: BackupStore, order: BackupOrder, *, report: Report | None = None) -> TakenBackup:
        """Back up the member that `etcd` reaches; return the backup once it is complete and proven.

        VerificationError where etcd's stream is damaged; TransientError, AccessError and DeadlineError as etcd and the store raise
        them. After any error nothing of the backup is listed.
        """
        began = self._clock.monotonic()
        status = await etcd.status()
        members = await etcd.members()
        self._counter += 1
        name = BackupName.at(order.taken_at or self._clock.now(), self._counter)
        say = paced(report)
        with self._scratch_file(status.db_size_bytes) as scratch:
            try:
                stored = await _store(etcd, backups, name.text, scratch, status.db_size_bytes, say)
                say(Progress(stage="verify", done_bytes=stored.gz_size_bytes, total_bytes=stored.gz_size_bytes))
                contents = await asyncio.to_thread(_open, scratch, stored.snapshot)
                await asyncio.to_thread(require_stored, backups, name.text, sha256=stored.gz_sha256, size_bytes=stored.gz_size_bytes)
            except BaseException:
                await asyncio.shield(asyncio.to_thread(_discard, backups, name.text))
                raise
        hashed = await _hash(etcd, contents) if order.hash_keys and contents is not None else None
        took = timedelta(seconds=self._clock.monotonic() - began)
        manifest = self._manifest(name, order, status, members, stored, contents, hashed, took)
        meta = BackupMeta(etcd_version=status.version, taken_at=name.taken_at, spec=order.spec)
        await asyncio.to_thread(backups.commit, name.text, meta, manifest)
        if order.keep:
            await asyncio.to_thread(backups.pin, name.text)
        log.info(
            "took backup %s: revision %s, %s keys, %s bytes, %.1f s",
            name,
            manifest.revision,
            manifest.keys,
            stored.gz_size_bytes,
            took.total_seconds(),
        )
        return TakenBackup(
            name=name.text,
            size_bytes=stored.gz_size_bytes,
            db_size_bytes=stored.snapshot.db_size_bytes,
            revision=manifest.revision,
            keys=manifest.keys,
            duration_ms=int(took.total_seconds() * 1000),
            verified=manifest.verified,
        )

    def _scratch_file(self, db_size_bytes: int) -> _Scratch:
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(self._scratch).free
        if free < db_size_bytes + _ROOM_BYTES:
            log.warning(
                "no room to open the backup before it counts as verified: %s has %s bytes free, wanted %s",
                self._scratch,
                free,
                db_size_bytes + _ROOM_BYTES,
            )
            return _Scratch(None)
        return _Scratch(self._scratch)

    def _manifest(  # noqa: PLR0913, PLR0917  the sources of one document
        self,
        name: BackupName,
        order: BackupOrder,
        status: MemberStatus,
        members: MemberList,
        stored: _Stored,
        contents: Contents | None,
        hashed: HashKV | None,
        took: timedelta,
    ) -> Manifest:
        return Manifest(
            cluster=order.cluster,
            etcd_cluster=order.etcd_cluster,
            taken_at=name.taken_at,
            reason=order.reason,
            label=order.label,
            server_version=status.version,
            cluster_id=members.cluster_id,
            member_id=status.member_id,
            members=tuple(ManifestMember(id=m.id, name=m.name, peer_urls=m.peer_urls, is_learner=m.is_learner) for m in members.members),
            raft_term=contents.term if contents else status.raft_term,
            raft_index=contents.consistent_index if contents else status.raft_applied_index,
            gz_size_bytes=stored.gz_size_bytes,
            gz_sha256=stored.gz_sha256,
            db_size_bytes=stored.snapshot.db_size_bytes,
            db_sha256=stored.snapshot.db_sha256,
            revision=contents.revision if contents else 0,
            compacted_revision=contents.compacted_revision if contents else 0,
            keys=contents.keys if contents else 0,
            versions=contents.versions if contents else 0,
            leases=contents.leases if contents else 0,
            hash_kv=hashed.hash if hashed else 0,
            hash_compact_revision=hashed.compact_revision if hashed else 0,
            took_seconds=took.total_seconds(),
            encryption_key=stored.encryption_key,
            checks=(Check(checked_at=self._clock.now(), kind="capture", by=self._by),) if contents else (),
        )


class _Scratch:
    """A nameless file that is gone when we are; None where there was no room for one."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._file: IO[bytes] | None = None

    def __enter__(self) -> IO[bytes] | None:
        if self._directory is not None:
            self._file = tempfile.TemporaryFile(dir=self._directory)
        return self._file

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    snapshot: SnapshotDigest
    gz_size_bytes: int
    gz_sha256: str
    encryption_key: str


class _Pipe:
    """Pieces on their way from the event loop to one thread; at most _DEPTH of them wait."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(_DEPTH)
        self._queue: queue.SimpleQueue[bytes | BaseException | None] = queue.SimpleQueue()
        self._abandoned = False

    async def put(self, piece: bytes) -> bool:
        """Hand a piece over when there is room; False where nobody takes any more."""
        await self._room.acquire()
        if not self._abandoned:
            self._queue.put(piece)
        return not self._abandoned

    def end(self, error: BaseException | None = None) -> None:
        """End the thread's iteration, with an error where the stream broke."""
        self._queue.put(error)

    def abandon(self) -> None:
        """Take nothing any more: the thread has ended."""
        self._abandoned = True
        self._room.release()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise TransientError(f"the snapshot broke off: {item}", code="backup-broken-off") from item
            self._loop.call_soon_threadsafe(self._room.release)
            yield item


async def _store(etcd: EtcdClient, backups: BackupStore, name: str, scratch: IO[bytes] | None, total: int, say: Report) -> _Stored:
    """Stream the snapshot into the store; return its digests."""
    # Before anything is written: without its keys a cluster that encrypts takes no backup at all.
    keys = await asyncio.to_thread(backups.keys)
    pipe = _Pipe()
    worker = _Worker(pipe, scratch, keys)
    upload = asyncio.create_task(asyncio.to_thread(backups.write_snapshot, name, worker))
    upload.add_done_callback(lambda _: pipe.abandon())
    done = 0
    try:
        async for piece in _coalesced(etcd.snapshot()):
            if not await pipe.put(piece):
                break
            done += len(piece)
            say(Progress(stage="snapshot", done_bytes=done, total_bytes=max(total, done)))
    except BaseException as error:
        pipe.end(error)
        await asyncio.wait({upload})
        upload.exception()  # It is the echo of `error`.
        raise
    pipe.end()
    await upload
    return worker.stored()


async def _coalesced(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    waiting: list[bytes] = []
    size = 0
    async for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _PIECE_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


class _Worker:
    """What the thread does with each piece; iterating yields what is stored."""

    def __init__(self, pipe: _Pipe, scratch: IO[bytes] | None, keys: BackupKeys) -> None:
        self._keys = keys
        self._pipe = pipe
        self._scratch = scratch
        self._check = SnapshotCheck()
        self._stored_digest = hashlib.sha256()
        self._size = 0
        self._snapshot: SnapshotDigest | None = None

    def __iter__(self) -> Iterator[bytes]:
        compressed = self._compressed_pieces()
        for piece in sealed(compressed, self._keys.keys[0]) if self._keys.keys else compressed:
            self._stored_digest.update(piece)
            self._size += len(piece)
            yield piece

    def _compressed_pieces(self) -> Iterator[bytes]:
        gzip = deflater()
        for piece in self._pipe:
            self._check.feed(piece)
            if self._scratch is not None:
                self._scratch.write(piece)
            if compressed := gzip.compress(piece):
                yield compressed
        # Raised here, a damaged stream makes the Store drop the object: writes are all or nothing.
        self._snapshot = self._check.finish()
        yield gzip.flush()

    def stored(self) -> _Stored:
        if self._snapshot is None:
            raise VerificationError("the store ended before the snapshot did", code="backup-broken-off")
        return _Stored(
            snapshot=self._snapshot, gz_size_bytes=self._size, gz_sha256=self._stored_digest.hexdigest(), encryption_key=self._keys.id
        )


def _open(scratch: IO[bytes] | None, snapshot: SnapshotDigest) -> Contents | None:
    if scratch is None:
        return None
    scratch.flush()
    return read_contents(scratch, size_bytes=snapshot.db_size_bytes)


def _discard(backups: BackupStore, name: str) -> None:
    try:
        backups.discard(name)
    except AgentError as error:
        log.warning("could not remove what is left of backup %s (it is not listed): %s", name, error)


async def _hash(etcd: EtcdClient, contents: Contents) -> HashKV | None:
    """Return etcd's hash at the snapshot's revision; None where it was compacted away meanwhile."""
    try:
        return await etcd.hash_kv(revision=contents.revision)
    except AgentError as error:
        log.info("no hash of the keys at revision %s: %s", contents.revision, error)
        return None
