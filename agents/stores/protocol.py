"""The Store protocol: named blobs, conditional writes, streaming both ways.

A *key* is a relative path with `/` between components ("control/etcd-cluster-spec"); it never starts or ends
with `/` and has no empty, `.` or `..` component. A store is a prefix of a bucket or a directory; keys are
relative to it. Every implementation is held to tests/agents/stores/test_contract.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One blob of a listing."""

    key: str
    size_bytes: int
    modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Versioned:
    """A blob's bytes together with the version that they are of, for `replace_if_unchanged`."""

    content: bytes
    #: Opaque (an ETag, a generation, a digest); equal only for the same state of the same blob.
    version: str


class Store(Protocol):
    """Blobs under one URL.

    Errors of all methods: NotFoundError for a blob that does not exist; ConflictError for a conditional write that lost;
    AccessError for 401/403 and EACCES; TransientError for what may pass (connection, 5xx, throttling, ENOSPC);
    SpecError for a malformed key. Every method has a deadline of its own. Nothing here retries beyond what the SDK does for one call.
    """

    @property
    def url(self) -> str:
        """The URL that names this store, as an operator would write it, without a trailing slash."""
        ...

    def read(self, key: str) -> bytes:
        """Return a whole blob; for small ones."""
        ...

    def read_versioned(self, key: str) -> Versioned:
        """Return a whole blob and its version."""
        ...

    def stream(self, key: str) -> Iterator[bytes]:
        """Yield a blob in pieces, in constant memory; NotFoundError is raised by the call, not by the first piece."""
        ...

    def write(self, key: str, content: bytes | Iterable[bytes]) -> None:
        """Create or replace a blob, all or nothing: a reader sees the old bytes or the new ones. Pieces are streamed, not collected."""
        ...

    def create(self, key: str, content: bytes) -> str:
        """Create a blob that must not exist; of several callers exactly one succeeds. Return its version. ConflictError for the others.

        After a TransientError (an answer that got lost) the blob may have been created: who cares puts something of its own
        into the content and reads it back. The same holds for `replace_if_unchanged`.
        """
        ...

    def replace_if_unchanged(self, key: str, content: bytes, version: str) -> str:
        """Replace a blob that must still be at `version`. Return the new version. ConflictError when it changed or is gone."""
        ...

    def exists(self, key: str) -> bool:
        """Return whether the blob exists."""
        ...

    def list(self, prefix: str = "") -> tuple[Entry, ...]:
        """Return all blobs below the directory `prefix` ("" is all), sorted by key; keys stay relative to the store.

        "a" has "a/b" below it, but neither "a" nor "ab". A directory that does not exist has nothing below it.
        """
        ...

    def delete(self, key: str) -> None:
        """Delete a blob; nothing happens where there is none. Versions that a bucket keeps are left alone: a typo must be undoable."""
        ...

    def child(self, prefix: str) -> Store:
        """Return the store below `prefix`."""
        ...
