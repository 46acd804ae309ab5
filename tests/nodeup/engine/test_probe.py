from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from nodeup.engine.probe import probe
from nodeup.resources.readiness import GrpcSocket, HealthEndpoint

GREETING = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@contextmanager
def kubelet(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()
            self.wfile.write(b"ok\n" if status == 200 else b"syncloop: not\nhealthy")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def a_socket(path: Path, greeting: bytes) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(greeting)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def test_a_kubelet_that_is_well_has_no_complaint() -> None:
    with kubelet(200) as port:
        assert probe(HealthEndpoint(address="127.0.0.1", port=port)) == ""


def test_a_kubelet_that_is_not_well_says_why() -> None:
    with kubelet(500) as port:
        said = probe(HealthEndpoint(address="127.0.0.1", port=port))

    assert said == f"http://127.0.0.1:{port}/healthz answers 500: syncloop: not healthy"


def test_where_nobody_listens_is_said_what_the_kernel_says(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert "refused" in probe(HealthEndpoint(address="127.0.0.1", port=port))
    assert "No such file" in probe(GrpcSocket(path=str(tmp_path / "none.sock")))


@pytest.mark.parametrize(("greeting", "complaint"), [(GREETING, ""), (b"HTTP/1.1 400", "is no gRPC server"), (b"", "is no gRPC server")])
def test_a_socket_answers_when_an_http2_server_greets(tmp_path: Path, greeting: bytes, complaint: str) -> None:
    path = tmp_path / "c.sock"
    with a_socket(path, greeting):
        said = probe(GrpcSocket(path=str(path)))

    assert complaint in said
    assert bool(said) == bool(complaint)
