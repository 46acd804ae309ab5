"""The backups that wait on this machine: a backup store in a directory of ours, emptied into the real one.

It is responsible for each effect by itself; what comes next is decided in `spool_plan`, looked at and driven by `spool_keeper`. Cut off
anywhere, a backup is here, or there, or at both: never at neither. Everything blocks.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from agents.errors import TransientError, VerificationError
from agents.stores.url import open_store
from etcdmanager.backups.copying import copy_backup
from etcdmanager.backups.encryption import KeySource, no_keys
from etcdmanager.backups.manifest import Manifest
from etcdmanager.backups.meta import META
from etcdmanager.backups.name import checked
from etcdmanager.backups.spool_plan import Spooled, is_covered
from etcdmanager.backups.store import BackupStore

log = logging.getLogger(__name__)


class Spool:
    """One member's spool. Nobody else writes to its directory."""

    def __init__(self, directory: Path, *, keys: KeySource = no_keys) -> None:
        self._directory = directory
        self.backups = BackupStore(open_store(str(directory), environment={}), keys=keys)

    def spooled(self) -> tuple[Spooled, ...]:
        """Return what waits here, oldest first."""
        listed = sorted(self.backups.list(), key=lambda backup: (backup.taken_at, backup.text))
        return tuple(Spooled(name=backup.text, taken_at=backup.taken_at, size_bytes=backup.size_bytes) for backup in listed)

    def free_bytes(self) -> int:
        """Return how much is free where the spool is, or will be."""
        directory = self._directory
        while not directory.exists():
            directory = directory.parent
        room = os.statvfs(directory)
        return room.f_bavail * room.f_frsize

    def sweep(self) -> None:
        """Remove what interrupted captures left. Only while none is being taken."""
        whole = {backup.text for backup in self.backups.list()}
        try:
            left = [entry for entry in self._directory.iterdir() if entry.name not in whole]
        except FileNotFoundError:
            return
        for entry in left:
            log.info("removing %s: a backup that was not finished", entry)
            shutil.rmtree(entry, ignore_errors=True)

    def drop(self, name: str) -> None:
        """Delete one, its metadata first; one that is gone already is no matter. TransientError where it cannot be."""
        self.backups.store.delete(f"{checked(name)}/{META}")
        try:
            shutil.rmtree(self._directory / name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise TransientError(f"{self._directory / name} cannot be deleted: {error}", code="spool-drop") from error

    def upload(self, name: str, store: BackupStore, *, interval: timedelta, keep_going: Callable[[], None]) -> None:
        """Bring one to the store under its name, read it back, and drop it here; the store's errors as they come: then it stays.

        One that the store has an equal of is only dropped, and so is one that got damaged here.
        """
        manifest = self.backups.manifest(name)
        if manifest is not None and is_covered(manifest, _around(store, manifest, interval), interval=interval):
            log.info("backup %s need not be uploaded: the store has one of that time", name)
        else:
            try:
                copied = copy_backup(self.backups, store, name, keep_going=keep_going, read_back=True)
            except VerificationError as error:
                log.error("backup %s was damaged while it waited here, and is dropped: %s", name, error)  # noqa: TRY400  no bug of ours
            else:
                log.info("uploaded backup %s, which had waited here: %d bytes", name, copied.size_bytes)
        self.drop(name)


def _around(store: BackupStore, manifest: Manifest, interval: timedelta) -> tuple[Manifest, ...]:
    """Return the manifests of the store's backups that were taken about when that one was, other than it."""
    near = [b.text for b in store.list() if b.has_manifest and b.size_bytes and abs(b.taken_at - manifest.taken_at) <= interval / 2]
    found = (store.manifest(name) for name in near)
    return tuple(other for other in found if other is not None and other.gz_sha256 != manifest.gz_sha256)
