"""An S3 API on loopback (moto's server, in this process) with one bucket, for tests that need a real conversation."""

from __future__ import annotations

import logging
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """Where the API listens, and the bucket that was made."""

    endpoint: str
    bucket: str
    #: Ends the server before its block does: the store is away. What it holds stays, for another server of this process.
    stop: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}"

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that kops' agents read; nothing of the test's own environment is among them."""
        return {
            "S3_ENDPOINT": self.endpoint,
            "S3_REGION": "us-east-1",
            "S3_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
            "S3_SECRET_ACCESS_KEY": "test-secret",
        }


@contextmanager
def s3_server(address: str = "127.0.0.1", port: int = 0) -> Iterator[S3Server]:
    """Run the server (port 0: a free one) until the block ends; each has its own bucket, because moto's state is global to the process."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server(address, port, _one_write_at_a_time(application), threaded=True)
    thread = threading.Thread(target=server.serve_forever, name="s3-server", daemon=True)
    thread.start()
    stopped = threading.Event()

    def stop() -> None:
        if not stopped.is_set():
            stopped.set()
            server.shutdown()
            thread.join(timeout=10)
            server.server_close()

    try:
        found = S3Server(endpoint=f"http://{address}:{server.server_port}", bucket=f"state-{uuid.uuid4().hex[:12]}", stop=stop)
        make_bucket(found.endpoint, found.bucket)
        yield found
    finally:
        stop()


def _one_write_at_a_time(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Serialise what changes something: S3 decides a conditional write in one step; moto looks first and writes then."""
    lock = threading.Lock()

    def serialised(environ: dict[str, object], start_response: object) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            return application(environ, start_response)
        with lock:
            return list(application(environ, start_response))

    return serialised


def make_bucket(endpoint: str, bucket: str) -> None:
    """Make a bucket at an API that does not check signatures, as moto does not; no SDK is needed for that."""
    request = urllib.request.Request(f"{endpoint}/{bucket}", method="PUT")  # noqa: S310 - loopback, by construction
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
