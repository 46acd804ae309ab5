"""A store in this process's memory, for tests and demonstrations; it forgets everything with the process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agents.errors import ConflictError, NotFoundError
from agents.stores.keys import check_key, check_prefix, joined
from agents.stores.protocol import Entry, Versioned

#: How much `stream` yields at once; the others' pieces have about this size too.
PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blob:
    content: bytes
    version: str
    modified: datetime


@dataclass(slots=True, kw_only=True)
class _Bucket:
    """What the stores of one name share; `lock` guards both other fields."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    blobs: dict[str, _Blob] = field(default_factory=dict)
    versions: int = 0


class MemoryStore:
    """Blobs in a dictionary; a store and its children share it, and any number of threads may use them."""

    def __init__(self, name: str = "", *, prefix: str = "", bucket: _Bucket | None = None) -> None:
        self._name = name
        self._prefix = check_prefix(prefix)
        self._bucket = _Bucket() if bucket is None else bucket

    @property
    def url(self) -> str:
        """The URL that names this store, without a trailing slash."""
        return f"memory://{joined(self._name, self._prefix)}"

    def read(self, key: str) -> bytes:
        """Return a whole blob."""
        return self._blob(key).content

    def read_versioned(self, key: str) -> Versioned:
        """Return a whole blob and its version, a number that no other state of any blob in this store had."""
        blob = self._blob(key)
        return Versioned(content=blob.content, version=blob.version)

    def stream(self, key: str) -> Iterator[bytes]:
        """Yield the blob as it is now in pieces; later writes do not change what is yielded."""
        content = self._blob(key).content
        return (content[start : start + PIECE_BYTES] for start in range(0, len(content), PIECE_BYTES))

    def write(self, key: str, content: bytes | Iterable[bytes]) -> None:
        """Create or replace a blob; pieces that fail to come leave the old one."""
        name = self._full(key)
        collected = content if isinstance(content, bytes) else b"".join(content)
        with self._bucket.lock:
            self._put(name, collected)

    def create(self, key: str, content: bytes) -> str:
        """Create a blob that must not exist; ConflictError where it does."""
        name = self._full(key)
        with self._bucket.lock:
            if name in self._bucket.blobs:
                raise ConflictError(f"{self.url}/{key} exists already", code="store-conflict")
            return self._put(name, content)

    def replace_if_unchanged(self, key: str, content: bytes, version: str) -> str:
        """Replace a blob that must still be at `version`; ConflictError when it changed or is gone."""
        name = self._full(key)
        with self._bucket.lock:
            found = self._bucket.blobs.get(name)
            if found is None or found.version != version:
                raise ConflictError(
                    f"{self.url}/{key} {'is gone' if found is None else 'was changed'} since it was read", code="store-conflict"
                )
            return self._put(name, content)

    def exists(self, key: str) -> bool:
        """Return whether the blob exists."""
        name = self._full(key)
        with self._bucket.lock:
            return name in self._bucket.blobs

    def list(self, prefix: str = "") -> tuple[Entry, ...]:
        """Return all blobs below the directory `prefix`, sorted by key."""
        directory = joined(self._prefix, check_prefix(prefix))
        below = f"{directory}/" if directory else ""
        own = len(self._prefix) + 1 if self._prefix else 0
        with self._bucket.lock:
            found = sorted((name, blob) for name, blob in self._bucket.blobs.items() if name.startswith(below))
        return tuple(Entry(key=name[own:], size_bytes=len(blob.content), modified=blob.modified) for name, blob in found)

    def delete(self, key: str) -> None:
        """Delete a blob; nothing happens where there is none."""
        name = self._full(key)
        with self._bucket.lock:
            self._bucket.blobs.pop(name, None)

    def child(self, prefix: str) -> MemoryStore:
        """Return the store below `prefix`; it shares the blobs of this one."""
        return MemoryStore(self._name, prefix=joined(self._prefix, check_key(prefix)), bucket=self._bucket)

    def _full(self, key: str) -> str:
        return joined(self._prefix, check_key(key))

    def _blob(self, key: str) -> _Blob:
        name = self._full(key)
        with self._bucket.lock:
            found = self._bucket.blobs.get(name)
        if found is None:
            raise NotFoundError(f"{self.url}/{key} does not exist", code="store-not-found")
        return found

    def _put(self, name: str, content: bytes) -> str:
        """Store `content`; the caller holds the lock."""
        self._bucket.versions += 1
        version = str(self._bucket.versions)
        self._bucket.blobs[name] = _Blob(content=bytes(content), version=version, modified=datetime.now(UTC))
        return version


#: The one piece of module state in this package: what makes memory://name the same store for everyone in this process.
_NAMED: dict[str, _Bucket] = {}
_NAMED_LOCK = threading.Lock()


def named_memory_store(name: str, *, prefix: str = "") -> MemoryStore:
    """Return the store that everyone in this process who asks for `name` gets; "" is a name too."""
    with _NAMED_LOCK:
        bucket = _NAMED.setdefault(name, _Bucket())
    return MemoryStore(name, prefix=prefix, bucket=bucket)
