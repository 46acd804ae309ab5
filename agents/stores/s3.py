"""A store in an S3 bucket, or in one of the services that speak S3; the only file that knows obstore.

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

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from agents.errors import AccessError, AgentError, ConflictError, NotFoundError, SpecError, TransientError
from agents.secret import Secret
from agents.stores.keys import check_key, check_prefix, joined
from agents.stores.protocol import Entry, Versioned

if TYPE_CHECKING:
    from obstore.store import S3Store as Client

log = logging.getLogger(__name__)

#: A node's own region answers within milliseconds; whoever does not answer in 5 s has a network problem.
CONNECT_TIMEOUT = timedelta(seconds=5)

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

#: Codes of S3's error documents that come with status 400 but mean: your credentials are of no use.
_ACCESS_CODES = ("ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed")
_ACCESS_STATUS = frozenset({401, 403})

#: Request timeout, a conflicting operation in progress, too many requests; from 500 on everything may pass.
_PASSING_STATUS = frozenset({408, 409, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Where a bucket is and who we are there; None where the ambient chain decides (environment, web identity, ECS, IMDSv2)."""

    scheme: str
    bucket: str
    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    profile: str | None = None
    encryption: str | None = None

    @classmethod
    def from_environment(cls, scheme: str, bucket: str, environment: Mapping[str, str]) -> S3Settings:
        """Read the variables that kops' agents have (`S3_*`), or else AWS' own; SpecError where they contradict each other.

        With `S3_ENDPOINT`, only `S3_REGION` (or us-east-1), `S3_ACCESS_KEY_ID` and `S3_SECRET_ACCESS_KEY` count, and paths
        hold the bucket (path style). `do:// linode:// hos:// scw://` always need an endpoint.

        Source: kops util/pkg/vfs/s3context.go; reference/nodeup.md 1.10.
        """
        if environment.get("KOPS_STATE_S3_ACL"):
            log.warning("KOPS_STATE_S3_ACL is set, but object ACLs are not supported; use a bucket policy")
        endpoint = environment.get("S3_ENDPOINT") or None
        encryption = environment.get("NODE_AGENTS_S3_SSE") or None
        if endpoint is None:
            if scheme != "s3":
                raise SpecError(f"{scheme}://{bucket} needs S3_ENDPOINT, S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY in the environment")
            return cls(
                scheme=scheme,
                bucket=bucket,
                region=environment.get("S3_REGION") or None,
                profile=_profile(environment),
                encryption=encryption,
                access_key_id=environment.get("AWS_ACCESS_KEY_ID") or None,
                secret_access_key=_secret(environment, "AWS_SECRET_ACCESS_KEY"),
                session_token=_secret(environment, "AWS_SESSION_TOKEN"),
            )
        if "://" not in endpoint:
            endpoint = f"https://{endpoint}"  # kops takes a host alone too
        if urlsplit(endpoint).scheme not in {"http", "https"} or not urlsplit(endpoint).netloc:
            raise SpecError(f"S3_ENDPOINT is {endpoint!r}, wanted https://host or http://host:port")
        key_id, key = environment.get("S3_ACCESS_KEY_ID"), _secret(environment, "S3_SECRET_ACCESS_KEY")
        if not key_id or key is None:
            raise SpecError(
                "S3_ENDPOINT is set, but S3_ACCESS_KEY_ID or S3_SECRET_ACCESS_KEY is not; there are no ambient credentials for it"
            )
        return cls(
            scheme=scheme,
            bucket=bucket,
            endpoint=endpoint.rstrip("/"),
            region=environment.get("S3_REGION") or "us-east-1",
            access_key_id=key_id,
            secret_access_key=key,
            encryption=encryption,
        )


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
            raise _meaning(error, f"{self.url}/{key}" if key else self.url) from error


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


def bucket_region(bucket: str, *, endpoint: str = "https://s3.amazonaws.com") -> str | None:
    """Return the region that S3 names for a bucket, or None where it cannot be asked.

    S3 puts `x-amz-bucket-region` into the answer to anybody's HEAD, refused or redirected, so no credentials are needed.
    A node's own region is no substitute: state stores are shared between regions.
    """
    import http.client
    import ssl

    where = urlsplit(endpoint)
    seconds = CONNECT_TIMEOUT.total_seconds()
    connection = (
        http.client.HTTPSConnection(where.netloc, timeout=seconds, context=ssl.create_default_context())
        if where.scheme == "https"
        else http.client.HTTPConnection(where.netloc, timeout=seconds)
    )
    try:
        connection.request("HEAD", f"/{quote(bucket)}")
        return connection.getresponse().getheader("x-amz-bucket-region")
    except (OSError, http.client.HTTPException) as error:
        log.warning("the region of bucket %s cannot be asked for (%s); set S3_REGION if it is not us-east-1", bucket, error)
        return None
    finally:
        connection.close()


def _profile(environment: Mapping[str, str]) -> str | None:
    """Return the ~/.aws profile to use: the one that is named, or `default` where that is all there is; None on a node."""
    if named := environment.get("AWS_PROFILE"):
        return named
    told = environment.get("AWS_ACCESS_KEY_ID") or environment.get("AWS_WEB_IDENTITY_TOKEN_FILE")
    home = environment.get("HOME")
    return "default" if not told and home and Path(home, ".aws", "credentials").is_file() else None


def _secret(environment: Mapping[str, str], name: str) -> Secret | None:
    value = environment.get(name)
    return Secret(value) if value else None


def _meaning(error: Exception, where: str) -> AgentError:
    """Return our error for one of obstore's, some of which only tell by their text what S3 answered."""
    from obstore.exceptions import AlreadyExistsError, PermissionDeniedError, PreconditionError, UnauthenticatedError

    said = str(error).split("\n\nDebug source", 1)[0].strip()
    match error:
        case _ if "NoSuchBucket" in said:
            hint = "check the URL, S3_ENDPOINT and the region"
            meaning: AgentError = SpecError(f"{where}: the bucket does not exist", code="store-no-bucket", hint=hint)
        case FileNotFoundError():
            meaning = NotFoundError(f"{where} does not exist", code="store-not-found")
        case AlreadyExistsError():
            meaning = ConflictError(f"{where} exists already", code="store-conflict")
        case PreconditionError():
            meaning = ConflictError(f"{where} was changed since it was read, or is gone", code="store-conflict")
        case PermissionDeniedError() | UnauthenticatedError():
            meaning = _refusal(said, where)
        case _:
            meaning = _by_status(said, where)
    return meaning


def _by_status(said: str, where: str) -> AgentError:
    """Return the error for an answer that obstore has no class for, or for no answer at all."""
    status = _status(said)
    if status in _ACCESS_STATUS or any(f"<Code>{code}<" in said for code in _ACCESS_CODES):
        return _refusal(said, where)
    if status is not None and 300 <= status < 500 and status not in _PASSING_STATUS:
        return SpecError(f"{where}: {_short(said)}", code="store-unusable", hint="if the bucket is in another region, set S3_REGION")
    return TransientError(f"{where}: {_short(said)}", code="store-transient")


def _refusal(said: str, where: str) -> AccessError:
    return AccessError(f"{where}: {_short(said)}", code="store-access", hint="check the credentials and the bucket's policy")


def _status(said: str) -> int | None:
    found = re.search(r"status code: (\d{3})", said)
    return int(found.group(1)) if found else None


def _short(said: str) -> str:
    """Return S3's own code and message where the text holds its error document, or else the text without line breaks."""
    code = re.search(r"<Code>([^<]*)</Code>", said)
    message = re.search(r"<Message>([^<]*)</Message>", said)
    if code:
        return f"{code.group(1)}: {message.group(1)}" if message else code.group(1)
    return " ".join(said.split())
