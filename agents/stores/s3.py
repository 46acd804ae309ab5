"""A store in an S3 bucket, or in one of the services that speak S3, through obstore.

Conditional writes are S3's own (`If-None-Match: *`, `If-Match: <etag>`) and are sent once: a repeated one can be refused
because of its own first attempt, whose answer got lost, and would then report a loser where there was a winner.

A bucket that does not exist is SpecError, never NotFoundError: "there is no marker of a cluster" must not be concluded from
a mistyped bucket.

Not done, on purpose or because obstore cannot:

* No server-side encryption is asked for unless `NODE_AGENTS_S3_SSE` says so. kops asks for AES256 where a bucket has no
  default; since January 2023 S3 encrypts every new object with SSE-S3 or the bucket's default, which asking would override.
* `KOPS_STATE_S3_ACL` is not honoured (obstore signs no x-amz-acl header); there is a warning when it is set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from agents.errors import NotFoundError
from agents.stores.keys import check_key, check_prefix, joined
from agents.stores.obstore_errors import meaning
from agents.stores.protocol import Entry, Versioned
from agents.stores.s3_settings import CONNECT_TIMEOUT, S3Settings, bucket_region

if TYPE_CHECKING:
    from obstore.store import S3Store as Client

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


@dataclass(slots=True, kw_only=True)
class _Clients:
    """The three ways in which one bucket is spoken to, made when first needed; a store and its children share them.

    Two threads may both make a client the first time; one of the two is then dropped, which does no harm.
    """

    settings: S3Settings
    made: dict[str, Client] = field(default_factory=dict)

    def steady(self) -> Client:
        """For what may be repeated: reads, plain writes, deletions, listings."""
        return self._client("steady", timeout=REQUEST_TIMEOUT, retries=RETRIES)

    def once(self) -> Client:
        """For conditional writes."""
        return self._client("once", timeout=REQUEST_TIMEOUT, retries=0)

    def patient(self) -> Client:
        """For downloads of any length."""
        return self._client("patient", timeout=DOWNLOAD_TIMEOUT, retries=RETRIES)

    def _client(self, way: str, *, timeout: timedelta, retries: int) -> Client:
        if way not in self.made:
            self.made[way] = _make_client(self.settings, timeout=timeout, retries=retries)
        return self.made[way]


class S3Store:
    """Blobs below a prefix of a bucket; nothing is connected or checked before the first call."""

    def __init__(self, settings: S3Settings, *, prefix: str = "", clients: _Clients | None = None) -> None:
        self._settings = settings
        self._prefix = check_prefix(prefix)
        self._clients = _Clients(settings=settings) if clients is None else clients

    @property
    def url(self) -> str:
        """The URL that names this store, without a trailing slash."""
        return f"{self._settings.scheme}://{joined(self._settings.bucket, self._prefix)}"

    def read(self, key: str) -> bytes:
        """Return a whole blob."""
        return self.read_versioned(key).content

    def read_versioned(self, key: str) -> Versioned:
        """Return a whole blob and its ETag."""
        import obstore

        with self._mapped(key):
            answer = obstore.get(self._clients.steady(), self._full(key))
            return Versioned(content=bytes(answer.bytes()), version=answer.meta["e_tag"] or "")

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
        pieces = _Pieces(content)
        with self._mapped(key, pieces):
            obstore.put(self._clients.steady(), name, pieces, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)

    def create(self, key: str, content: bytes) -> str:
        """Create a blob that must not exist; S3 lets exactly one of many callers do it."""
        import obstore

        with self._mapped(key):
            return obstore.put(self._clients.once(), self._full(key), content, mode="create", use_multipart=False)["e_tag"] or ""

    def replace_if_unchanged(self, key: str, content: bytes, version: str) -> str:
        """Replace a blob whose ETag must still be `version`; ConflictError when it changed or is gone."""
        import obstore

        with self._mapped(key):
            return obstore.put(self._clients.once(), self._full(key), content, mode={"e_tag": version}, use_multipart=False)["e_tag"] or ""

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

        with self._mapped(key):
            obstore.delete(self._clients.steady(), self._full(key))

    def child(self, prefix: str) -> S3Store:
        """Return the store below `prefix`; it shares the connections of this one."""
        return S3Store(self._settings, prefix=joined(self._prefix, check_key(prefix)), clients=self._clients)

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
    def _mapped(self, key: str, pieces: _Pieces | None = None) -> Iterator[None]:
        """Turn obstore's errors into ours; an error of the caller's own pieces passes through as it is."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            if pieces is not None and pieces.failure is not None:
                raise pieces.failure from None
            raise meaning(error, f"{self.url}/{key}" if key else self.url) from error


class _Pieces:
    """An iterator over the caller's pieces that remembers the error by which they ended, if there was one."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._iterator = iter(pieces)
        self.failure: Exception | None = None

    def __iter__(self) -> _Pieces:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._iterator)
        except StopIteration:
            raise
        except Exception as error:
            self.failure = error
            raise


def _make_client(settings: S3Settings, *, timeout: timedelta, retries: int) -> Client:
    from obstore.store import S3Store as Client

    plain = settings.endpoint is not None and settings.endpoint.startswith("http://")
    options: dict[str, object] = {
        "region": settings.region or bucket_region(settings.bucket) or "us-east-1",
        "virtual_hosted_style_request": False,
        "client_options": {
            "allow_http": plain,
            "connect_timeout": CONNECT_TIMEOUT,
            "timeout": timeout,
            "read_timeout": REQUEST_TIMEOUT,
            "user_agent": "node-agents",
        },
        "retry_config": {
            "max_retries": retries,
            "retry_timeout": REQUEST_TIMEOUT,
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
        },
    }
    if settings.endpoint is not None:
        options["endpoint"] = settings.endpoint
    if settings.encryption is not None:
        options["server_side_encryption"] = settings.encryption
    if settings.profile is not None:
        options["credential_provider"] = _profile_credentials(settings.profile)
    elif settings.access_key_id is not None and settings.secret_access_key is not None:
        options["access_key_id"] = settings.access_key_id
        options["secret_access_key"] = settings.secret_access_key.reveal().decode()
        if settings.session_token is not None:
            options["session_token"] = settings.session_token.reveal().decode()
    return Client(settings.bucket, **options)  # type: ignore[arg-type]  # the keys are checked by obstore itself, at run time


def _profile_credentials(profile: str) -> object:
    """Return a provider that follows ~/.aws (profiles, SSO), which obstore does not read; boto3 does."""
    from boto3 import Session
    from obstore.auth.boto3 import Boto3CredentialProvider

    return Boto3CredentialProvider(Session(profile_name=profile))
