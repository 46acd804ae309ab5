"""Opening a URL as a stream of bytes from an offset: http(s), file, and the schemes of state stores.

Only bytes are moved here; hashes, mirrors and resuming are `nodeup.assets.download`'s business.
"""

from __future__ import annotations

import http.client
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.errors import AccessError, AgentError, NotFoundError, RefusedError, SpecError, TransientError

#: Limit of one connect, and of the silence between two pieces; kops allows 30 s for each, and 3 min for a whole body.
TIMEOUT_SECONDS = 30.0
#: Half a megabyte: fewer calls than 256 KiB, and still in the cache of a core when it is hashed after it was written.
PIECE_BYTES = 1 << 19
#: The code of the error that says that nobody may be asked.
OFFLINE = "offline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """An open body."""

    #: Where the body begins in the file: the offset asked for, or 0 where the server knows no ranges.
    offset: int
    #: The file's whole size, None where the server does not say it.
    total_bytes: int | None
    pieces: Iterator[bytes]
    #: Frees the connection; a read in another thread ends with an error.
    close: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a mirror says of a file without sending it."""

    #: None where it does not say it.
    size_bytes: int | None
    #: Whether a broken download can be continued there.
    accepts_ranges: bool


class Transport:
    """Opens URLs; proxies come from the process' environment (HTTPS_PROXY, NO_PROXY), as curl has it."""

    def __init__(
        self, environment: Mapping[str, str] | None = None, *, timeout_seconds: float = TIMEOUT_SECONDS, offline: bool = False
    ) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        self._timeout = timeout_seconds
        self._offline = offline

    def open(self, url: str, *, offset: int = 0) -> Stream:
        """Return the body from `offset` on, or from 0 where that is not possible.

        NotFoundError for 404 and 410, AccessError for 401 and 403, TransientError for everything that may pass.
        An offset beyond the end is TransientError with code "range". RefusedError with code "offline" where nobody may be asked.
        """
        scheme = urllib.parse.urlsplit(url).scheme
        self.refuse_if_offline(url)
        if scheme in {"http", "https"}:
            return self._open_http(url, offset)
        if scheme == "file":
            return _open_file(Path(urllib.request.url2pathname(urllib.parse.urlsplit(url).path)), offset)
        if scheme:
            return self._open_store(url)
        raise SpecError(f"{url!r} is no URL of an asset")

    def refuse_if_offline(self, what: str) -> None:
        """RefusedError with code "offline" where nobody may be asked for `what`."""
        if self._offline:
            raise RefusedError(
                f"{what} is not in the cache, and this node is set up from a bundle, which asks no network",
                code=OFFLINE,
                hint="make the bundle again, of this node's configuration and architecture",
            )

    def probe(self, url: str) -> Found:
        """Return what a mirror says of a file, having read at most one byte of it; errors as of `open`.

        The first byte is asked for, not a HEAD: some stores of objects sign only GET, and only the answer shows that ranges work.
        """
        scheme = urllib.parse.urlsplit(url).scheme
        if scheme not in {"http", "https"}:
            stream = self.open(url)
            stream.close()
            return Found(size_bytes=stream.total_bytes, accepts_ranges=scheme == "file")
        with self._request(url, "bytes=0-0") as response:
            in_part = response.status == http.HTTPStatus.PARTIAL_CONTENT
            return Found(size_bytes=_extent(response, 0)[1], accepts_ranges=in_part)

    def _open_http(self, url: str, offset: int) -> Stream:
        response = self._request(url, f"bytes={offset}-" if offset else "")
        start, total = _extent(response, offset)
        return Stream(offset=start, total_bytes=total, pieces=_http_pieces(url, response), close=response.close)

    def _request(self, url: str, range_: str) -> http.client.HTTPResponse:
        headers = {"Accept-Encoding": "identity", "User-Agent": "node-agents", **({"Range": range_} if range_ else {})}
        try:
            return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=self._timeout)  # type: ignore[no-any-return]  # noqa: S310 - http(s) only
        except urllib.error.HTTPError as error:
            with error:
                raise _http_error(url, error.code) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TransientError(f"{url}: {_reason(error)}") from error

    def _open_store(self, url: str) -> Stream:
        from agents.stores.url import open_store

        parent, _, name = url.rpartition("/")
        return Stream(offset=0, total_bytes=None, pieces=open_store(parent, environment=self._environment).stream(name), close=lambda: None)


def _http_pieces(url: str, response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            piece = response.read1(PIECE_BYTES)
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            # ValueError and AttributeError: closed by another thread.
            raise TransientError(f"{url}: the connection broke: {_reason(error)}") from error
        if not piece:
            response.close()
            return
        yield piece


def _extent(response: http.client.HTTPResponse, offset: int) -> tuple[int, int | None]:
    """Return where the body begins and how long the whole file is."""
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if match is not None and int(match[1]) == offset:
            return offset, None if match[2] == "*" else int(match[2])
        response.close()
        raise TransientError(f"asked for bytes from {offset} on, got Content-Range {response.headers.get('Content-Range')!r}", code="range")
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _http_error(url: str, status: int) -> AgentError:
    match status:
        case 401 | 403:
            return AccessError(f"{url}: the server answered {status}")
        case 404 | 410:
            return NotFoundError(f"{url}: the server answered {status}")
        case 416:
            return TransientError(f"{url}: the server has no such range", code="range")
        case _:
            return TransientError(f"{url}: the server answered {status}")


def _open_file(path: Path, offset: int) -> Stream:
    try:
        file = path.open("rb")
        file.seek(offset)
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist") from error
    except OSError as error:
        raise TransientError(f"{path}: {error.strerror}") from error

    def pieces() -> Iterator[bytes]:
        with file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    return Stream(offset=offset, total_bytes=path.stat().st_size, pieces=pieces(), close=file.close)


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return str(reason) or type(error).__name__
