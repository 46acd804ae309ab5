"""A store in a container of OpenStack Swift, over its REST API.

Swift can create an object only where there is none (`If-None-Match: *`), but cannot replace one only where it is unchanged.
`replace_if_unchanged` is therefore made of creations:

    create  .node-agents-replace/<hash of key and version>   one of many wins; it ends by itself after a minute (X-Delete-After)
    look    is the object still at that version?             a marker may be won again later, by somebody who comes late
    write   the object
    delete  the marker

A winner who is stopped for longer than a minute between looking and writing could overwrite what somebody else wrote meanwhile; its
own deadlines are shorter. On clusters that spread changes late ("eventual consistency") a look may be old; three replicas of
one container, as they are usual, answer with the newest that a majority has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from agents.errors import AccessError, AgentError, ConflictError, NotFoundError, SpecError, TransientError
from agents.stores.keys import check_key, check_prefix, joined
from agents.stores.objects import PIECE_BYTES, Pieces
from agents.stores.protocol import Entry, Versioned

if TYPE_CHECKING:
    from requests import Response

    from agents.stores.swift_session import SwiftSession

#: Objects that are no blobs: below this, at the container's root.
MARKERS = ".node-agents-replace"

#: Longer than all deadlines of a replacement together.
_MARKER_SECONDS = 120

#: Swift's usual largest page.
_PAGE = 10_000


class SwiftStore:
    """Blobs below a prefix of a container; nothing is connected or checked before the first call."""

    def __init__(self, container: str, session: SwiftSession, *, prefix: str = "") -> None:
        self._container = container
        self._session = session
        self._prefix = check_prefix(prefix)

    @property
    def url(self) -> str:
        """The URL that names this store, without a trailing slash."""
        return f"swift://{joined(self._container, self._prefix)}"

    def read(self, key: str) -> bytes:
        """Return a whole blob."""
        return self.read_versioned(key).content

    def read_versioned(self, key: str) -> Versioned:
        """Return a whole blob and its ETag, which is a digest of its content."""
        with self._mapped(key), self._answer("GET", key) as answer:
            return Versioned(content=answer.content, version=_version(answer))

    def stream(self, key: str) -> Iterator[bytes]:
        """Yield a blob in pieces."""
        with self._mapped(key):
            answer = self._answer("GET", key)
        return self._pieces(key, answer)

    def write(self, key: str, content: bytes | Iterable[bytes]) -> None:
        """Create or replace a blob; pieces go out in one request, which Swift drops when it does not end. At most 5 GB."""
        if isinstance(content, bytes):
            with self._mapped(key):
                self._answer("PUT", key, body=content).close()
            return
        # Sent in chunks, of which an empty one would be the last.
        pieces = Pieces(piece for piece in content if piece)
        with self._mapped(key, pieces):
            self._answer("PUT", key, body=pieces).close()

    def create(self, key: str, content: bytes) -> str:
        """Create a blob that must not exist."""
        with self._mapped(key), self._answer("PUT", key, headers={"If-None-Match": "*"}, body=content) as answer:
            return _version(answer)

    def replace_if_unchanged(self, key: str, content: bytes, version: str) -> str:
        """Replace a blob that must still be at `version`, as the module's description says."""
        name = self._full(key)
        marker = f"{MARKERS}/{hashlib.sha256(repr((name, version)).encode()).hexdigest()}"
        headers = {"If-None-Match": "*", "X-Delete-After": str(_MARKER_SECONDS)}
        with self._mapped(key):
            self._checked(
                self._send("PUT", marker, headers=headers, body=b""), f"{self.url}/{key} is being replaced by somebody else"
            ).close()
            try:
                if self._current(key) != version:
                    raise ConflictError(f"{self.url}/{key} was changed since it was read, or is gone", code="store-conflict")
                with self._answer("PUT", key, body=content) as answer:
                    return _version(answer)
            finally:
                self._send("DELETE", marker).close()

    def exists(self, key: str) -> bool:
        """Return whether the blob exists; SpecError where not even the container does."""
        with self._mapped(key):
            return self._current(key) is not None

    def list(self, prefix: str = "") -> tuple[Entry, ...]:
        """Return all blobs below the directory `prefix`, sorted by key."""
        directory = joined(self._prefix, check_prefix(prefix))
        below = f"{directory}/" if directory else ""
        own = len(self._prefix) + 1 if self._prefix else 0
        with self._mapped(prefix):
            found = tuple(self._entries(below))
        named = [(str(entry["name"]), entry) for entry in found]
        return tuple(
            sorted(
                (
                    Entry(key=name[own:], size_bytes=int(str(entry["bytes"])), modified=_moment(str(entry["last_modified"])))
                    for name, entry in named
                    if not name.startswith(f"{MARKERS}/")
                ),
                key=lambda entry: entry.key,
            )
        )

    def delete(self, key: str) -> None:
        """Delete a blob."""
        try:
            with self._mapped(key):
                self._answer("DELETE", key).close()
        except NotFoundError:
            return

    def child(self, prefix: str) -> SwiftStore:
        """Return the store below `prefix`; it shares the session of this one."""
        return SwiftStore(self._container, self._session, prefix=joined(self._prefix, check_key(prefix)))

    def _full(self, key: str) -> str:
        return joined(self._prefix, check_key(key))

    def _current(self, key: str) -> str | None:
        """Return a blob's version; None where there is none."""
        with self._send("HEAD", self._full(key)) as answer:
            if answer.status_code != 404:
                return _version(self._checked(answer, ""))
        # Swift answers 404 for a container that does not exist, too; the container itself says which it is.
        self._container_exists()
        return None

    def _container_exists(self) -> None:
        with self._session.send("HEAD", quote(self._container)) as answer:
            if answer.status_code == 404:
                raise SpecError(
                    f"{self.url}: the container does not exist", code="store-no-bucket", hint="check the URL and OS_REGION_NAME"
                )

    def _answer(
        self, method: str, key: str, *, headers: Mapping[str, str] | None = None, body: bytes | Iterable[bytes] | None = None
    ) -> Response:
        """Return a good answer to a request about a blob; the caller closes it."""
        answer = self._send(method, self._full(key), headers=headers, body=body)
        if answer.status_code == 404:
            answer.close()
            self._container_exists()
            raise NotFoundError(f"{self.url}/{key} does not exist", code="store-not-found")
        return self._checked(answer, f"{self.url}/{key} exists already")

    def _checked(self, answer: Response, conflict: str) -> Response:
        """Return a good answer, or raise what a bad one means; `conflict` says what a failed condition means."""
        if answer.ok:
            return answer
        said = f"{self.url}: Swift answered {answer.status_code} {answer.reason}"
        answer.close()
        if answer.status_code == 412:
            raise ConflictError(conflict, code="store-conflict")
        raise _meaning(answer.status_code, said)

    def _send(
        self, method: str, name: str, *, headers: Mapping[str, str] | None = None, body: bytes | Iterable[bytes] | None = None
    ) -> Response:
        return self._session.send(method, f"{quote(self._container)}/{quote(name)}", headers=headers, body=body)

    def _entries(self, below: str) -> Iterator[dict[str, object]]:
        """Yield the entries of a listing, which comes in pages."""
        marker = ""
        while True:
            params = {"format": "json", "prefix": below, "limit": str(_PAGE), "marker": marker}
            with self._session.send("GET", quote(self._container), params=params) as answer:
                if answer.status_code == 404:
                    self._container_exists()
                page = self._checked(answer, "").json()
            if not page:
                return
            yield from page
            marker = str(page[-1]["name"])

    def _pieces(self, key: str, answer: Response) -> Iterator[bytes]:
        with self._mapped(key), answer:
            yield from answer.iter_content(PIECE_BYTES)

    @contextmanager
    def _mapped(self, key: str, pieces: Pieces | None = None) -> Iterator[None]:
        """Turn connections' errors into ours; an error of the caller's own pieces passes through as it is."""
        from requests import RequestException

        try:
            yield
        except (RequestException, OSError, ValueError) as error:
            if pieces is not None and pieces.failure is not None:
                raise pieces.failure from None
            if not isinstance(error, RequestException):
                raise
            raise TransientError(f"{self.url}/{key}: {type(error).__name__}", code="store-transient") from error


def _version(answer: Response) -> str:
    return answer.headers.get("ETag", "").strip('"')


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _meaning(status: int, said: str) -> AgentError:
    if status in {401, 403}:
        return AccessError(said, code="store-access", hint="check the credentials (OS_*) and the container's ACL")
    if status in {408, 409, 429, 498, 499} or status >= 500:
        return TransientError(said, code="store-transient")
    return SpecError(said, code="store-unusable")
