"""Proving that a stored backup is good: reading it back (light), and booting an etcd from it (deep).

Light needs no etcd binary: gzip, the SHA-256 behind the database, every page of the database, the counts, and all of it
against the manifest where there is one. Deep restores into a scratch directory, starts etcd there behind a unix socket, and
compares its count and hash. Neither changes anything but the manifest, which remembers the proof.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

from agents.errors import AccessError, RefusedError, TransientError, VerificationError
from etcdmanager.backups.bolt import read_contents
from etcdmanager.backups.compression import inflate
from etcdmanager.backups.manifest import Check, Manifest
from etcdmanager.backups.meta import BackupMeta
from etcdmanager.backups.name import BackupName
from etcdmanager.backups.scratch import scratch_etcd
from etcdmanager.backups.store import BackupStore, Listed
from etcdmanager.etcd.snapshot import SnapshotCheck, SnapshotDigest
from etcdmanager.peering.messages import Progress

if TYPE_CHECKING:
    from etcdmanager.etcd.client import EtcdClient

log = logging.getLogger(__name__)

Report = Callable[[Progress], None]
#: Read and reported in pieces of this size.
_PIECE_BYTES = 1 << 20
#: A database in gzip is seldom smaller than that part; only used where no manifest tells the size.
_USUAL_COMPRESSION = 6
_ROOM_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What a backup holds, by having been opened: now, or when the manifest with its SHA-256 was written."""

    revision: int
    compacted_revision: int
    keys: int
    leases: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A backup that was read back whole, and what it holds."""

    name: str
    meta: BackupMeta
    #: None for a backup that was not taken by us.
    manifest: Manifest | None
    contents: Holdings
    snapshot: SnapshotDigest
    gz_size_bytes: int

    @property
    def taken_at(self) -> datetime:
        """When it was taken, as well as anybody knows; the beginning of time where nobody does."""
        name = BackupName.parse(self.name)
        if name is not None:
            return name.taken_at
        return self.meta.taken_at or datetime.fromtimestamp(0, UTC)

    @property
    def server_version(self) -> str:
        """The version that the data was written by, as well as anybody knows."""
        return (self.manifest.server_version if self.manifest else "") or self.meta.etcd_version


def verify_light(backups: BackupStore, name: str, *, scratch: Path, report: Report | None = None, reopen: bool = True) -> Verified:
    """Read a backup back and prove it; VerificationError where it is damaged, NotFoundError where it does not exist.

    With `reopen` the database is opened and counted in any case. Without, one whose SHA-256 is that of its manifest counts as
    what was opened when the manifest was written: the same bytes, at a third of the time.

    `scratch` is a directory with room for the unpacked database; RefusedError S10 where it has none.
    """
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=scratch) as file:
        return unpack(backups, name, file, room=scratch, report=report, reopen=reopen)


def unpack(backups: BackupStore, name: str, into: IO[bytes], *, room: Path, report: Report | None = None, reopen: bool = True) -> Verified:
    """Write a backup's whole snapshot, trailer included, into a file while proving it.

    Errors as of `verify_light`; AccessError for one that is encrypted with a key that we do not have.

    `room` is the directory whose free space counts. `report` may raise: that is how a caller in another thread stops us.
    """
    meta = backups.meta(name)
    manifest = backups.manifest(name)
    total = manifest.db_size_bytes if manifest else 0
    source = _Hashed(backups.stream(name))
    require_room(room, total)
    check = SnapshotCheck()
    for piece in inflate(backups.unsealed(name, source)):
        check.feed(piece)
        into.write(piece)
        if report is not None:
            report(Progress(stage="download", done_bytes=check.size_bytes, total_bytes=total))
    into.flush()
    snapshot = check.finish()
    if report is not None:
        report(Progress(stage="verify", done_bytes=snapshot.db_size_bytes, total_bytes=snapshot.db_size_bytes))
    known = manifest if manifest is not None and manifest.verified and manifest.db_sha256 == snapshot.db_sha256 else None
    contents = _from_manifest(known) if known is not None and not reopen else _opened(into, snapshot)
    verified = Verified(
        name=name,
        meta=meta,
        manifest=manifest,
        contents=contents,
        snapshot=snapshot,
        gz_size_bytes=source.size_bytes,
    )
    _compare(verified, source.sha256())
    return verified


def _opened(file: IO[bytes], snapshot: SnapshotDigest) -> Holdings:
    contents = read_contents(file, size_bytes=snapshot.db_size_bytes)
    return Holdings(
        revision=contents.revision,
        compacted_revision=contents.compacted_revision,
        keys=contents.keys,
        leases=contents.leases,
        size_bytes=contents.size_bytes,
    )


def _from_manifest(manifest: Manifest) -> Holdings:
    return Holdings(
        revision=manifest.revision,
        compacted_revision=manifest.compacted_revision,
        keys=manifest.keys,
        leases=manifest.leases,
        size_bytes=manifest.db_size_bytes,
    )


def require_room(directory: Path, needed_bytes: int) -> None:
    """Raise RefusedError S10 unless `directory` has that much free, and a little more."""
    free = shutil.disk_usage(directory).free
    if free < needed_bytes + _ROOM_BYTES:
        raise RefusedError(
            f"{directory} has {free >> 20} MiB free, wanted {(needed_bytes + _ROOM_BYTES) >> 20} MiB",
            code="S10-disk-room",
            hint="free some space, or point TMPDIR or --scratch at a larger file system",
        )


def probable_db_size(listed: Listed, manifest: Manifest | None) -> int:
    """Return the size that a backup will unpack to: exactly by its manifest, else a guess from its compressed size."""
    return manifest.db_size_bytes if manifest else listed.size_bytes * _USUAL_COMPRESSION


def record(backups: BackupStore, verified: Verified, *, kind: str, now: datetime, by: str) -> None:
    """Remember in the manifest that a backup was proven; whoever may only read the store has proven it all the same.

    One without a manifest (Go's) stays as it is: its directory is not ours.
    """
    if verified.manifest is None:
        return
    check = Check(checked_at=now, kind=kind, by=by)
    try:
        backups.write_manifest(verified.name, verified.manifest.with_check(check))
    except (AccessError, TransientError) as error:
        log.warning("%s is proven, but that cannot be remembered: %s", verified.name, error)


class _Hashed:
    """Compressed pieces, digested on their way."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._digest.update(piece)
            self.size_bytes += len(piece)
            yield piece

    def sha256(self) -> str:
        return self._digest.hexdigest()


def _compare(verified: Verified, gz_sha256: str) -> None:
    """Raise VerificationError where a backup is sound, but not the one that was taken."""
    manifest = verified.manifest
    if manifest is None:
        return
    pairs: list[tuple[str, object, object]] = [
        ("SHA-256 of the file", manifest.gz_sha256, gz_sha256),
        ("SHA-256 of the database", manifest.db_sha256, verified.snapshot.db_sha256),
        ("revision", manifest.revision, verified.contents.revision),
        ("number of keys", manifest.keys, verified.contents.keys),
    ]
    for what, wanted, found in pairs:
        if wanted and wanted != found:
            raise VerificationError(f"backup {verified.name}: its {what} is {found}, its manifest says {wanted}", code="backup-differs")


# --- deep ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """What an etcd that was started from a backup said."""

    version: str
    revision: int
    keys: int
    leases: int
    hash_kv: int
    hash_compact_revision: int


async def boot(data_dir: Path, *, etcd: Path, name: str, deadline: timedelta = timedelta(seconds=60)) -> Booted:
    """Start etcd on a restored data directory, ask it what it holds, and stop it; errors and conditions as of `scratch_etcd`."""
    async with scratch_etcd(data_dir, etcd=etcd, name=name, deadline=deadline) as client:
        return await ask(client)


async def ask(client: EtcdClient) -> Booted:
    """Return what an etcd that was started from a backup says."""
    deadline = timedelta(seconds=10)
    keys = await client.count(deadline=deadline)
    status = await client.status(deadline=deadline)
    hashed = await client.hash_kv(deadline=timedelta(seconds=60))
    leases = await client.leases(deadline=deadline)
    return Booted(
        version=status.version,
        revision=status.revision,
        keys=keys,
        leases=len(leases),
        hash_kv=hashed.hash,
        hash_compact_revision=hashed.compact_revision,
    )


def compare_booted(verified: Verified, booted: Booted) -> None:
    """Raise VerificationError where what etcd serves is not what the backup holds."""
    contents = verified.contents
    for what, wanted, found in (
        ("keys", contents.keys, booted.keys),
        ("leases", contents.leases, booted.leases),
        ("revision", contents.revision, booted.revision),
    ):
        if wanted != found:
            raise VerificationError(f"backup {verified.name} holds {wanted} {what}, etcd serves {found}", code="backup-differs")
    manifest = verified.manifest
    if (
        manifest
        and manifest.hash_kv
        and manifest.hash_compact_revision == booted.hash_compact_revision
        and manifest.hash_kv != booted.hash_kv
    ):
        raise VerificationError(
            f"backup {verified.name}: etcd hashes its keys to {booted.hash_kv}, the cluster's were {manifest.hash_kv}",
            code="backup-differs",
        )
