"""Reading a snapshot back from its store: only then is a backup more than a good intention."""

from __future__ import annotations

import hashlib

from agents.errors import TransientError
from etcdmanager.backups.store import BackupStore


def require_stored(backups: BackupStore, name: str, *, sha256: str, size_bytes: int) -> None:
    """Raise TransientError where the store holds something else than it was given."""
    digest, size = hashlib.sha256(), 0
    for piece in backups.stream(name):
        digest.update(piece)
        size += len(piece)
    if digest.hexdigest() != sha256:
        raise TransientError(
            f"{backups.url} was given {size_bytes} bytes of backup {name} and holds {size} others", code="backup-stored-differs"
        )
