"""The keys of an etcd database file, as etcd would serve them at a revision; read in place, without an etcd.

Not here: whether the file is sound (`verify.py` proves that first), and what the values mean (`kubernetes_value.py`).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from agents.errors import NotFoundError, VerificationError
from etcdmanager.backups.bolt import REVISION, Bolt, first_field, read_contents


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredValue:
    """One key with its value, as etcd's Range would answer."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    #: How often it was written since it was created.
    version: int
    #: 0 without one.
    lease: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a stored key-value message lies in the file."""

    at: int
    size: int
    revision: int


class Keyspace:
    """All keys that exist at one revision; only their names are in memory."""

    def __init__(self, data: mmap.mmap, places: dict[bytes, _Place], revision: int) -> None:
        self._data = data
        self._places = places
        #: The revision that this shows.
        self.revision = revision

    def __len__(self) -> int:
        return len(self._places)

    def keys(self, prefix: bytes = b"") -> tuple[bytes, ...]:
        """Return the keys that begin with `prefix`, in order."""
        return tuple(sorted(key for key in self._places if key.startswith(prefix)))

    def stored_bytes(self, key: bytes) -> int:
        """Return how large a key's message is in the file: key, value and some bytes of figures."""
        return self._places[key].size

    def mod_revision(self, key: bytes) -> int:
        """Return the revision of a key's last change, without decoding it."""
        return self._places[key].revision

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def get(self, key: bytes) -> StoredValue:
        """Return a key's value; NotFoundError where it does not exist at this revision."""
        place = self._places.get(key)
        if place is None:
            raise NotFoundError(f"{text_of(key)} does not exist at revision {self.revision}", code="key-not-found")
        return _decoded(self._data[place.at : place.at + place.size])


@contextmanager
def keyspace(file: IO[bytes], *, size_bytes: int, revision: int = 0) -> Iterator[Keyspace]:
    """Open the database in `file`, which ends after `size_bytes`, at `revision` (0: the newest).

    NotFoundError for a revision that the database does not have any more, or not yet; VerificationError for what is no sound database.
    """
    contents = read_contents(file, size_bytes=size_bytes)
    wanted = revision or contents.revision
    if not contents.compacted_revision <= wanted <= contents.revision:
        raise NotFoundError(
            f"the database knows revisions {max(1, contents.compacted_revision)} to {contents.revision}, wanted {wanted}",
            code="revision-not-found",
        )
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield Keyspace(data, _places(Bolt(data, size_bytes), wanted), wanted)


def text_of(key: bytes) -> str:
    """Return a key for people; bytes that are no text in hexadecimal."""
    return key.decode(errors="backslashreplace")


def _places(bolt: Bolt, revision: int) -> dict[bytes, _Place]:
    places: dict[bytes, _Place] = {}
    for _, name, bucket_at, bucket_size in bolt.pairs(bolt.root):
        if name != b"key":
            continue
        for _, stored, at, size in bolt.bucket(bucket_at, bucket_size):
            main: int = REVISION.unpack_from(stored)[0]
            if main > revision:
                break
            if size == 0:
                continue
            key = first_field(bolt.data, at, size)
            if stored.endswith(b"t") and len(stored) > REVISION.size:
                places.pop(key, None)
            else:
                places[key] = _Place(at, size, main)
    return places


def _decoded(message: bytes) -> StoredValue:
    from google.protobuf.message import DecodeError

    from etcdmanager.etcd.proto.kv_pb2 import KeyValue

    try:
        stored = KeyValue.FromString(message)
    except DecodeError as error:
        raise VerificationError(f"a stored key is damaged: {error}", code="bolt-damaged") from error
    return StoredValue(
        key=stored.key,
        value=stored.value,
        create_revision=stored.create_revision,
        mod_revision=stored.mod_revision,
        version=stored.version,
        lease=stored.lease,
    )
