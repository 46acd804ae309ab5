"""A store behind https:// (or http://) that can only be read: published manifests, channels, discovery documents."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote

from agents.errors import AccessError, AgentError, NotFoundError, SpecError, TransientError
from agents.stores.keys import check_key
from agents.stores.protocol import Entry, Versioned

if TYPE_CHECKING:
    from requests import Response

CONNECT_TIMEOUT = timedelta(seconds=5)

#: Between two pieces of an answer.
READ_TIMEOUT = timedelta(seconds=60)

#: For a whole document, which are small: a server that sends a byte every minute must not hold a node up for ever.
READ_DEADLINE = timedelta(minutes=2)

#: For a whole stream: that of a download (`nodeup.assets.download`).
STREAM_DEADLINE = timedelta(minutes=30)

PIECE_BYTES = 1 << 20


class HttpStore:
    """Documents below a URL; there is no listing, and every writing method raises SpecError."""

    def __init__(self, base: str, *, read_deadline: timedelta = READ_DEADLINE, stream_deadline: timedelta = STREAM_DEADLINE) -> None:
        self._base = base.rstrip("/")
        self._read_deadline, self._stream_deadline = read_deadline, stream_deadline

    @property
    def url(self) -> str:
        """The URL that names this store, without a trailing slash."""
        return self._base

    def read(self, key: str) -> bytes:
        """Return a whole document."""
        return self.read_versioned(key).content

    def read_versioned(self, key: str) -> Versioned:
        """Return a whole document and its ETag, or a digest of its content where the server sends none."""
        with self._mapped(key), self._answer("GET", key) as answer:
            content = b"".join(self._body(key, answer, self._read_deadline))
            return Versioned(content=content, version=answer.headers.get("ETag") or hashlib.sha256(content).hexdigest())

    def stream(self, key: str) -> Iterator[bytes]:
        """Yield a document in pieces."""
        with self._mapped(key):
            answer = self._answer("GET", key)
        return self._pieces(key, answer)

    def exists(self, key: str) -> bool:
        """Return whether the document exists; the answer's body is not fetched."""
        try:
            with self._mapped(key), self._answer("GET", key):
                return True
        except NotFoundError:
            return False

    def list(self, prefix: str = "") -> tuple[Entry, ...]:
        """Raise SpecError: HTTP has no listings."""
        return self._refuse("list", prefix)

    def write(self, key: str, content: bytes | Iterable[bytes]) -> None:  # noqa: ARG002 - the Protocol's signature
        """Raise SpecError."""
        self._refuse("write", key)

    def create(self, key: str, content: bytes) -> str:  # noqa: ARG002 - the Protocol's signature
        """Raise SpecError."""
        return self._refuse("create", key)

    def replace_if_unchanged(self, key: str, content: bytes, version: str) -> str:  # noqa: ARG002 - the Protocol's signature
        """Raise SpecError."""
        return self._refuse("replace", key)

    def delete(self, key: str) -> None:
        """Raise SpecError."""
        self._refuse("delete", key)

    def child(self, prefix: str) -> HttpStore:
        """Return the store below `prefix`."""
        below = f"{self._base}/{quote(check_key(prefix))}"
        return HttpStore(below, read_deadline=self._read_deadline, stream_deadline=self._stream_deadline)

    def _answer(self, method: str, key: str) -> Response:
        """Return a good answer whose body has not been read; the caller closes it."""
        import requests

        where = f"{self._base}/{quote(check_key(key))}"
        timeouts = (CONNECT_TIMEOUT.total_seconds(), READ_TIMEOUT.total_seconds())
        answer = requests.request(method, where, stream=True, timeout=timeouts)
        if not answer.ok:
            answer.close()
            raise _meaning(answer.status_code, f"{where}: {answer.status_code} {answer.reason}")
        return answer

    def _pieces(self, key: str, answer: Response) -> Iterator[bytes]:
        with self._mapped(key), answer:
            yield from self._body(key, answer, self._stream_deadline)

    def _body(self, key: str, answer: Response, deadline: timedelta) -> Iterator[bytes]:
        """Yield what has come, never waiting for a full piece, which would hide how slowly it comes; TransientError after `deadline`."""
        ends = time.monotonic() + deadline.total_seconds()
        size = 0
        while piece := answer.raw.read1(PIECE_BYTES, decode_content=True):
            size += len(piece)
            yield piece
            if time.monotonic() > ends:
                raise TransientError(
                    f"{self._base}/{key}: {size} bytes in {deadline.total_seconds():g} s, which is too slow", code="store-slow"
                )

    def _refuse(self, verb: str, key: str) -> NoReturn:
        raise SpecError(f"cannot {verb} {self._base}/{key}: an http store can only be read", code="store-read-only")

    @contextmanager
    def _mapped(self, key: str) -> Iterator[None]:
        from requests import RequestException
        from requests.exceptions import InvalidURL, MissingSchema
        from urllib3.exceptions import HTTPError

        try:
            yield
        except (InvalidURL, MissingSchema) as error:
            raise SpecError(f"{self._base}/{key} is not a URL: {error}", code="store-malformed-url") from error
        except (RequestException, HTTPError) as error:
            raise TransientError(f"{self._base}/{key}: {_in_words(error)}", code="store-transient") from error


def _in_words(error: Exception) -> str:
    """Return what lies at the bottom of an error of requests, without the names of the classes it went through."""
    text = str(error)
    for opening, closing in (("Caused by ", ")"), ('("', '")'), ("): ", ""), (">: ", "")):
        _, found, rest = text.rpartition(opening)
        text = rest.removesuffix(closing) if found else text
    return text


def _meaning(status: int, said: str) -> AgentError:
    if status in {404, 410}:
        return NotFoundError(said, code="store-not-found")
    if status in {401, 403}:
        return AccessError(said, code="store-access")
    if status in {408, 425, 429} or status >= 500:
        return TransientError(said, code="store-transient")
    return SpecError(said, code="store-unusable")
