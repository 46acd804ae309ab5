"""The shape of a snapshot: a database file, and behind it the 32-byte SHA-256 of it; incremental and pure.

Source: etcd's Maintenance.Snapshot since 3.0; a database is a whole number of 512-byte blocks, so that the rest tells
whether the hash is there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from agents.errors import VerificationError

TRAILER_BYTES = 32
_BLOCK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotDigest:
    """What a whole snapshot stream was."""

    #: Without the trailer.
    db_size_bytes: int
    #: Hex; of the database, and so equal to the trailer.
    db_sha256: str


class SnapshotCheck:
    """Digests a snapshot piece by piece, in any cut; `finish` says whether it is whole."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._tail = b""
        self._size = 0

    @property
    def size_bytes(self) -> int:
        """How much came so far, trailer included."""
        return self._size

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        self._size += len(piece)
        if len(piece) >= TRAILER_BYTES:
            self._digest.update(self._tail)
            self._digest.update(memoryview(piece)[:-TRAILER_BYTES])
            self._tail = piece[-TRAILER_BYTES:]
            return
        joined = self._tail + piece
        self._digest.update(joined[:-TRAILER_BYTES])
        self._tail = joined[-TRAILER_BYTES:]

    def finish(self) -> SnapshotDigest:
        """Return what the stream was; VerificationError unless it ends with the SHA-256 of what came before."""
        if self._size % _BLOCK != TRAILER_BYTES:
            raise VerificationError(
                f"the snapshot has {self._size} bytes, which is no database and its hash: it was cut off, or is something else",
                code="snapshot-size",
            )
        if self._digest.digest() != self._tail:
            raise VerificationError(
                f"the snapshot's SHA-256 is {self._digest.hexdigest()}, and {self._tail.hex()} is written behind it", code="snapshot-hash"
            )
        return SnapshotDigest(db_size_bytes=self._size - TRAILER_BYTES, db_sha256=self._digest.hexdigest())
