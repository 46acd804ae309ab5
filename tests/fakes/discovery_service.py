"""A discovery service on loopback: TLS with client certificates, and the one request of nodes, checked as kops' service checks it.

Unlike kops', which takes any authority and makes a universe of each, this one knows one authority and one universe.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_ROUTE = re.compile(
    r"/universe-1/apis/discovery\.kops\.k8s\.io/v1alpha1/namespaces/([^/]+)/discoveryendpoints/([^/?]+)\?fieldManager=([^&]+)&force=false"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryService:
    """Where it listens and what is registered, by namespace and name."""

    url: str
    endpoints: dict[tuple[str, str], object] = field(default_factory=dict)


@contextmanager
def discovery_service(*, certificate: Path, key: Path, clients_ca: Path, status: int = 0) -> Iterator[DiscoveryService]:
    """Serve until the block ends; with `status` it answers only that."""
    endpoints: dict[tuple[str, str], object] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PATCH(self) -> None:
            document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            code, said = (status, "not now") if status else self._apply(document)
            body = said.encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _apply(self, document: dict[str, dict[str, object]]) -> tuple[int, str]:
            assert isinstance(self.connection, ssl.SSLSocket)
            match = _ROUTE.fullmatch(self.path)
            if match is None or self.headers["Content-Type"] != "application/apply-patch+yaml":
                return 404, f"no such route: {self.path}"
            namespace, name, _manager = match.groups()
            subject = dict(pair for part in (self.connection.getpeercert() or {}).get("subject", ()) for pair in part)
            metadata = document["metadata"]
            if not metadata["name"] == name == subject.get("commonName") or metadata["namespace"] != namespace:
                return 403, "Forbidden: name does not match"
            endpoints[namespace, name] = document
            return 201, json.dumps(document)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing of clients that do not trust us: that is what some tests are about."""

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    tls.load_verify_locations(clients_ca)
    tls.verify_mode = ssl.CERT_REQUIRED
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, name="discovery-service", daemon=True)
    thread.start()
    try:
        yield DiscoveryService(url=f"https://127.0.0.1:{server.server_port}/universe-1", endpoints=endpoints)
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()
