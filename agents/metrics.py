"""Counters, gauges and an HTTP endpoint for them, for health and for readiness: on loopback, in a thread of its own.

prometheus_client costs 47 ms and 14 MB: `Metrics()` imports it, so make one after READY=1.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

    from prometheus_client import Counter, Gauge, Histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer."""

    status: int = 200
    content: bytes = b"ok\n"
    content_type: str = "text/plain; charset=utf-8"


class Metrics:
    """A registry of its own (not prometheus_client's global one); names follow Prometheus' conventions and carry their unit."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry
        from prometheus_client.process_collector import ProcessCollector

        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)

    def counter(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
        """Return a new counter; the exposition adds "_total"."""
        from prometheus_client import Counter

        return Counter(name, documentation, labels, registry=self._registry)

    def gauge(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
        """Return a new gauge."""
        from prometheus_client import Gauge

        return Gauge(name, documentation, labels, registry=self._registry)

    def histogram(self, name: str, documentation: str, labels: Sequence[str] = (), *, buckets: Sequence[float]) -> Histogram:
        """Return a new histogram."""
        from prometheus_client import Histogram

        return Histogram(name, documentation, labels, registry=self._registry, buckets=buckets)

    def exposition(self) -> Answer:
        """Return everything in Prometheus' text format: the handler of /metrics."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return Answer(content=generate_latest(self._registry), content_type=CONTENT_TYPE_LATEST)


class Endpoint:
    """An HTTP server on loopback; a context manager. A path that is not in `handlers` is 404.

    Handlers run in threads, and take what they tell from immutable values that the loop swaps whole.
    """

    def __init__(self, handlers: Mapping[str, Callable[[], Answer]], *, port: int, address: str = "127.0.0.1") -> None:
        self._server = _server(dict(handlers), address, port)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="metrics", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on: the one that was asked for, or a free one where that was 0."""
        return self._server.server_port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _server(handlers: Mapping[str, Callable[[], Answer]], address: str, port: int) -> ThreadingHTTPServer:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        #: A client that sends nothing must not hold a thread.
        timeout = 10

        def do_GET(self) -> None:
            handler = handlers.get(self.path.partition("?")[0])
            answer = handler() if handler else Answer(status=404, content=b"not found\n")
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
            """Say nothing: a scrape every few seconds is no news."""

    return ThreadingHTTPServer((address, port), Handler)
