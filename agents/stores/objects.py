"""A store in a bucket of any service that obstore speaks to; which one, `agents.stores.{s3,gcs,azure}` decide.

Conditional writes are the service's own and are sent once: a repeated one can be refused because of its own first attempt,
whose answer got lost, and would then report a loser where there was a winner.

A bucket that does not exist is SpecError, never NotFoundError: "there is no marker of a cluster" must not be concluded from
a mistyped bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from agents.errors import NotFoundError
from agents.stores.keys import check_key, check_prefix, joined
from agents.stores.obstore_errors import meaning
from agents.stores.protocol import Entry, Versioned

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutResult, UpdateVersion
    from obstore.store import ObjectStore as ObjectClient

#: For one small request as a whole, for one part of an upload, and between two pieces of a download.
REQUEST_TIMEOUT = timedelta(seconds=60)

#: A download as a whole: 8 GB (etcd's largest quota) at 2.5 MB/s.
DOWNLOAD_TIMEOUT = timedelta(hours=1)

#: The SDK's own attempts for one call that may be repeated: 0.1 s, 0.2 s, 0.4 s. Longer patience is the loop's business.
RETRIES = 3

#: Memory of an upload is about PART_BYTES * (PARTS_AT_ONCE + 1); S3 allows 10,000 parts, so 80 GB.
PART_BYTES = 8 << 20
PARTS_AT_ONCE = 3

#: What `stream` yields at least, until the last piece.
PIECE_BYTES = 1 << 20


#: A node's own region answers within milliseconds; whoever does not answer in 5 s has a network problem.
CONNECT_TIMEOUT = timedelta(seconds=5)


@dataclass(slots=True, kw_only=True)
class Clients:
    """The three ways in which one bucket is spoken to, made when first needed; a store and its children share them.

    Two threads may both make a client the first time; one of the two is then dropped, which does no harm.
    """

    #: Makes a client from the time that one request may take, and how often it may be repeated.
    make: Callable[[timedelta, int], ObjectClient]
    made: dict[str, ObjectClient] = field(default_factory=dict)

    def steady(self) -> ObjectClient:
        """For what may be repeated: reads, plain writes, deletions, listings."""
        return self._client("steady", timeout=REQUEST_TIMEOUT, retries=RETRIES)

    def once(self) -> ObjectClient:
        """For conditional writes."""
        return self._client("once", timeout=REQUEST_TIMEOUT, retries=0)

    def patient(self) -> ObjectClient:
        """For downloads of any length."""
        return self._client("patient", timeout=DOWNLOAD_TIMEOUT, retries=RETRIES)

    def _client(self, way: str, *, timeout: timedelta, retries: int) -> ObjectClient:
        if way not in self.made:
            self.made[way] = self.make(timeout, retries)
        return self.made[way]


class Token(Enum):
    """What a service's conditional writes go by."""

    #: A digest or a counter in the ETag header; S3 and Azure.
    ETAG = "e_tag"
    #: Google's generations.
    GENERATION = "version"


class ObjectStore:
    """Blobs below a prefix of a bucket; nothing is connected or checked before the first call."""

    def __init__(self, root: str, clients: Clients, *, prefix: str = "", token: Token = Token.ETAG) -> None:
        self._root = root
        self._clients = clients
        self._prefix = check_prefix(prefix)
        self._token = token

    @property
    def url(self) -> str:
        """The URL that names this store, without a trailing slash."""
        return joined(self._root, self._prefix)

    def read(self, key: str) -> bytes:
        """Return a whole blob."""
        return self.read_versioned(key).content

    def read_versioned(self, key: str) -> Versioned:
        """Return a whole blob and its version."""
        import obstore

        with self._mapped(key):
            answer = obstore.get(self._clients.steady(), self._full(key))
            return Versioned(content=bytes(answer.bytes()), version=self._version(answer.meta))

    def stream(self, key: str) -> Iterator[bytes]:
        """Yield a blob in pieces; it is the blob that was there at the call."""
        import obstore

        with self._mapped(key):
            answer = obstore.get(self._clients.patient(), self._full(key))
        return self._pieces(key, answer.stream(min_chunk_size=PIECE_BYTES))

    def write(self, key: str, content: bytes | Iterable[bytes]) -> None:
        """Create or replace a blob; pieces go out as parts of a multipart upload, which is aborted when one fails to come."""
        import obstore

        name = self._full(key)
        if isinstance(content, bytes):
            with self._mapped(key):
                obstore.put(self._clients.steady(), name, content, use_multipart=False)
            return
        pieces = Pieces(content)
        with self._mapped(key, pieces):
            obstore.put(self._clients.steady(), name, pieces, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)

    def create(self, key: str, content: bytes) -> str:
        """Create a blob that must not exist; the service lets exactly one of many callers do it."""
        import obstore

        with self._mapped(key):
            return self._version(obstore.put(self._clients.once(), self._full(key), content, mode="create", use_multipart=False))

    def replace_if_unchanged(self, key: str, content: bytes, version: str) -> str:
        """Replace a blob that must still be at `version`; ConflictError when it changed or is gone."""
        import obstore

        unchanged: UpdateVersion = {"e_tag": version} if self._token is Token.ETAG else {"version": version}
        with self._mapped(key):
            return self._version(obstore.put(self._clients.once(), self._full(key), content, mode=unchanged, use_multipart=False))

    def exists(self, key: str) -> bool:
        """Return whether the blob exists; SpecError where not even the bucket does."""
        import obstore

        name = self._full(key)
        try:
            with self._mapped(key):
                obstore.head(self._clients.steady(), name)
        except NotFoundError:
            return not self._is_missing(key, name)
        return True

    def list(self, prefix: str = "") -> tuple[Entry, ...]:
        """Return all blobs below the directory `prefix`, sorted by key."""
        import obstore

        directory = joined(self._prefix, check_prefix(prefix))
        own = len(self._prefix) + 1 if self._prefix else 0
        with self._mapped(prefix):
            found = [
                Entry(key=meta["path"][own:], size_bytes=meta["size"], modified=meta["last_modified"])
                for page in obstore.list(self._clients.steady(), directory or None)
                for meta in page
            ]
        return tuple(sorted(found, key=lambda entry: entry.key))

    def delete(self, key: str) -> None:
        """Delete a blob; on a versioned bucket that writes a delete marker, and older versions stay."""
        import obstore

        name = self._full(key)
        try:
            with self._mapped(key):
                obstore.delete(self._clients.steady(), name)
        except NotFoundError:
            return  # S3 says nothing of it; Google and Azure do

    def child(self, prefix: str) -> ObjectStore:
        """Return the store below `prefix`; it shares the connections of this one."""
        return ObjectStore(self._root, self._clients, prefix=joined(self._prefix, check_key(prefix)), token=self._token)

    def _version(self, answer: ObjectMeta | PutResult) -> str:
        return str(answer[self._token.value] or "")

    def _full(self, key: str) -> str:
        return joined(self._prefix, check_key(key))

    def _is_missing(self, key: str, name: str) -> bool:
        """Ask a second time, by GET: the answer to HEAD has no body, so it cannot say whether blob or bucket is missing."""
        import obstore

        try:
            with self._mapped(key):
                obstore.get(self._clients.steady(), name)
        except NotFoundError:
            return True
        return False

    def _pieces(self, key: str, stream: Iterable[object]) -> Iterator[bytes]:
        with self._mapped(key):
            for piece in stream:
                yield bytes(piece)  # type: ignore[call-overload]  # obstore.Bytes has the buffer protocol

    @contextmanager
    def _mapped(self, key: str, pieces: Pieces | None = None) -> Iterator[None]:
        """Turn obstore's errors into ours; an error of the caller's own pieces passes through as it is."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            if pieces is not None and pieces.failure is not None:
                raise pieces.failure from None
            raise meaning(error, f"{self.url}/{key}" if key else self.url) from error


class Pieces:
    """An iterator over the caller's pieces that remembers the error by which they ended, if there was one."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._iterator = iter(pieces)
        self.failure: Exception | None = None

    def __iter__(self) -> Pieces:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._iterator)
        except StopIteration:
            raise
        except Exception as error:
            self.failure = error
            raise


def client_options(timeout: timedelta, *, plain: bool) -> dict[str, object]:
    """Return obstore's options for connections; `plain` allows http://, for services on loopback."""
    return {
        "allow_http": plain,
        "connect_timeout": CONNECT_TIMEOUT,
        "timeout": timeout,
        "read_timeout": REQUEST_TIMEOUT,
        "user_agent": "node-agents",
    }


def retry_options(retries: int) -> dict[str, object]:
    """Return obstore's options for what it repeats by itself."""
    return {
        "max_retries": retries,
        "retry_timeout": REQUEST_TIMEOUT,
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
    }
