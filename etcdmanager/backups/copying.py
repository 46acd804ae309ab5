"""Copying a backup to another store, proven on its way: the same bytes, and the metadata last, as a capture writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from agents.errors import NotFoundError, VerificationError
from etcdmanager.backups.compression import inflate
from etcdmanager.backups.manifest import MANIFEST
from etcdmanager.backups.meta import META, SNAPSHOT
from etcdmanager.backups.name import checked
from etcdmanager.backups.store import BackupStore, Listed
from etcdmanager.backups.stored import require_stored
from etcdmanager.etcd.snapshot import SnapshotCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A backup that is in the other store now."""

    name: str
    size_bytes: int
    #: False where it was there already.
    was_copied: bool


def missing_in(listed: tuple[Listed, ...], other: tuple[Listed, ...]) -> tuple[Listed, ...]:
    """Return which of `listed` the other store does not have whole, oldest first; pure."""
    there = {backup.text: backup.size_bytes for backup in other}
    return tuple(backup for backup in listed if backup.size_bytes and there.get(backup.text) != backup.size_bytes)


def copy_backup(
    source: BackupStore, target: BackupStore, name: str, *, keep_going: Callable[[], None] = lambda: None, read_back: bool = False
) -> Copied:
    """Copy one backup; nothing is written again where the target has it whole.

    VerificationError where the source is damaged: then the target has nothing of that name. A copy that was cut off is no backup, because
    its metadata is missing; copying again replaces it. A pin is not copied: the other store has its own retention.
    `keep_going` is called with every piece, and may raise: that is how a caller in another thread stops us.
    `read_back`: what was written is read again before it counts; TransientError where the store holds something else.
    """
    key = f"{checked(name)}/{META}"
    meta = source.store.read(key)
    size = _size(source, name)
    if target.store.exists(key) and _size(target, name) == size:
        return Copied(name=name, size_bytes=size, was_copied=False)
    # Whatever half of it is there is not listed from now on, until the metadata is there again.
    target.store.delete(key)
    passing = _Proven(source, name, keep_going)
    try:
        target.write_snapshot(name, passing)
        passing.finish()
    except VerificationError:
        target.discard(name)
        raise
    if read_back:
        require_stored(target, name, sha256=passing.sha256(), size_bytes=passing.size_bytes)
    with suppress(NotFoundError):  # the Go program writes none
        target.store.write(f"{name}/{MANIFEST}", source.store.read(f"{name}/{MANIFEST}"))
    target.store.write(key, meta)
    return Copied(name=name, size_bytes=passing.size_bytes, was_copied=True)


def _size(backups: BackupStore, name: str) -> int:
    for entry in backups.store.list(name):
        if entry.key == f"{name}/{SNAPSHOT}":
            return entry.size_bytes
    return 0


class _Proven:
    """A compressed snapshot on its way, and whether it is whole."""

    def __init__(self, source: BackupStore, name: str, keep_going: Callable[[], None]) -> None:
        self._keep_going = keep_going
        self._source = source
        self._name = name
        self._manifest = source.manifest(name)
        sealed_with = self._manifest.encryption_key if self._manifest is not None else ""
        #: Without the key, the manifest's SHA-256 is all that proves a copy: the stored bytes were read back when it was written.
        self._opens = not sealed_with or source.keys().find(sealed_with) is not None
        self._digest = hashlib.sha256()
        self._check = SnapshotCheck()
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        if not self._opens:
            yield from self._pieces()
            return
        passed: list[bytes] = []

        def pieces() -> Iterator[bytes]:
            for piece in self._pieces():
                passed.append(piece)
                yield piece

        for plain in inflate(self._source.unsealed(self._name, pieces())):
            self._check.feed(plain)
            yield from passed
            passed.clear()
        yield from passed

    def _pieces(self) -> Iterator[bytes]:
        for piece in self._source.stream(self._name):
            self._keep_going()
            self._digest.update(piece)
            self.size_bytes += len(piece)
            yield piece

    def sha256(self) -> str:
        """Return the SHA-256 of what passed."""
        return self._digest.hexdigest()

    def finish(self) -> None:
        """Raise VerificationError unless all of it passed and is what was taken."""
        if self._opens:
            self._check.finish()
        wanted = self._manifest.gz_sha256 if self._manifest is not None else ""
        if (wanted or not self._opens) and wanted != self.sha256():
            raise VerificationError(
                f"backup {self._name}: its SHA-256 is {self.sha256()}, its manifest says {wanted or 'nothing'}", code="backup-differs"
            )
