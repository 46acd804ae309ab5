"""Asking this node's etcd for its metrics: at its metrics listeners, else at its client URLs with a certificate of our own."""

from __future__ import annotations

import ssl
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit

from agents.errors import TransientError
from agents.host.local import LocalHost
from etcdmanager.doctor.view import DiskSpeed
from etcdmanager.etcd.exposition import COMMIT, FSYNC, histograms
from etcdmanager.identity import Identity
from etcdmanager.member.certificates import CLIENTS_CA, client_pair, load_authority
from etcdmanager.spec import ManagerConfig

_WITHIN = timedelta(seconds=3)
_AT_MOST_BYTES = 8 << 20
_SHORT = timedelta(minutes=10)


def fetch_metrics(config: ManagerConfig, identity: Identity, now: datetime) -> str:
    """Return the exposition of this node's etcd; TransientError where none of its listeners tells it."""
    node = config.node(peer_id=identity.peer_id, address=identity.address)
    listeners = config.metrics_urls(peer_id=identity.peer_id, address=identity.address)
    urls = [f"{url.rstrip('/')}/metrics" for url in (*listeners, *node.client_urls, *node.quarantined_client_urls)]
    problems = []
    with _context(config, identity, now) as context:
        for url in dict.fromkeys(_from_here(urls, identity)):
            try:
                return _get(url, context)
            except (OSError, URLError, ValueError) as error:
                problems.append(f"{url}: {error}")
    raise TransientError(f"etcd does not tell its metrics: {'; '.join(problems) or 'it has no listener'}", code="no-metrics")


def disk_speed(exposition: str) -> DiskSpeed:
    """Return how long etcd waits for its disk; pure."""
    found = histograms(exposition, FSYNC, COMMIT)
    return DiskSpeed(fsync_p99=found[FSYNC].quantile(0.99), commit_p99=found[COMMIT].quantile(0.99))


def _get(url: str, context: ssl.SSLContext | None) -> str:
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), *([urllib.request.HTTPSHandler(context=context)] if context is not None else [])
    )
    with opener.open(url, timeout=_WITHIN.total_seconds()) as answer:
        content: bytes = answer.read(_AT_MOST_BYTES)
    return content.decode(errors="replace")


def _from_here(urls: Iterable[str], identity: Identity) -> Iterator[str]:
    """Yield URLs with this machine's own address: the names of members may not resolve on it."""
    for url in urls:
        parts = urlsplit(url)
        host = f"[{identity.address}]" if ":" in identity.address else identity.address
        if parts.scheme in {"http", "https"} and parts.port is not None:
            yield f"{parts.scheme}://{host}:{parts.port}{parts.path}"
        loopback = parts.hostname in {"127.0.0.1", "localhost", "::1"}
        if loopback:
            yield url


@contextmanager
def _context(config: ManagerConfig, identity: Identity, now: datetime) -> Iterator[ssl.SSLContext | None]:
    """Yield how to speak TLS with etcd; None where it speaks none. Python's ssl takes keys from files only."""
    if config.etcd_insecure:
        yield None
        return
    authority = load_authority(LocalHost(), config.pki_dir, CLIENTS_CA)
    pair = client_pair(authority, identity.peer_id, now=now, lifetime=_SHORT)
    context = ssl.create_default_context(cadata=authority.bundle.decode("ascii", "replace"))
    # It is asked by its address; the certificate of a member holds its name, and our CA signs nobody else's.
    context.check_hostname = False
    with tempfile.TemporaryDirectory(prefix="etcd-metrics-") as directory:
        path = Path(directory) / "client.pem"
        path.touch(mode=0o600)
        path.write_bytes(pair.certificate_pem + b"\n" + pair.key.reveal())
        context.load_cert_chain(path)
    yield context
