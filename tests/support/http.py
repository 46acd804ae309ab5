"""A small HTTP server on loopback that answers what a test says, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked; header names are lower-case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is answered; with `claimed_bytes` the Content-Length promises more than is sent, then the connection ends."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    claimed_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServer:
    """Where it listens, and what it was asked so far."""

    url: str
    requests: list[Request]


def _body(handler: BaseHTTPRequestHandler) -> bytes | None:
    """Return a request's body; None where the client went away in the middle of it."""
    if handler.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
    pieces = []
    while line := handler.rfile.readline():
        size = int(line.split(b";")[0], 16)
        pieces.append(handler.rfile.read(size))
        handler.rfile.readline()
        if size == 0:
            return b"".join(pieces)
    return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    #: Sixteen threads that race are more than the five that may wait by default.
    request_queue_size = 128


@contextmanager
def http_server(answer: Callable[[Request], Answer]) -> Iterator[HttpServer]:
    """Serve until the block ends; `answer` is called in threads of the server."""
    requests: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = _body(self)
            if body is None:
                self.close_connection = True
                return
            asked = Request(method=self.command, path=self.path, headers=headers, body=body)
            requests.append(asked)
            given = answer(asked)
            self.send_response(given.status)
            for name, value in given.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(given.body) if given.claimed_bytes is None else given.claimed_bytes))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(given.body)
            self.close_connection = given.claimed_bytes is not None or self.close_connection

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = respond  # noqa: N815 - the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature of the standard library
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="http-server", daemon=True)
    thread.start()
    try:
        yield HttpServer(url=f"http://127.0.0.1:{server.server_port}", requests=requests)
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()
