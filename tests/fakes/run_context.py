"""An EngineContext over a fake host, with a cluster's keysets made once for all tests."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path

from agents.clock import Clock
from agents.host.distribution import Distribution, parse_os_release
from agents.host.protocol import Host
from agents.pki.issue import self_signed_ca
from agents.pki.keypair import Keypair, generate_rsa_key
from agents.pki.keyset import Keyset, KeysetItem
from agents.status import Waiting
from nodeup.assets.cache import AssetCache
from nodeup.assets.catalog import AssetSource
from nodeup.assets.transport import Transport
from nodeup.engine.context import EngineContext
from nodeup.engine.journal import Digests, Journal
from nodeup.resources.readiness import Endpoint
from tests.fakes.clock import FakeClock

DEBIAN = parse_os_release('ID=debian\nVERSION_ID="12"\n')
FEDORA = parse_os_release("ID=fedora\nVERSION_ID=42\n")
FLATCAR = parse_os_release("ID=flatcar\nVERSION_ID=4000.0.0\n")


def run_context(
    host: Host,
    *,
    distribution: Distribution = DEBIAN,
    clock: Clock | None = None,
    sources: Iterable[AssetSource] = (),
    keysets: Mapping[str, Keyset] | None = None,
    cache: str = "/var/cache/nodeup",
    trusting: bool = True,
    ask: Callable[[Endpoint], str] = lambda _: "",
    on_wait: Callable[[str, Waiting | None], None] | None = None,
) -> EngineContext:
    digests = Digests(host, trusting=trusting)
    return EngineContext(
        distribution=distribution,
        clock=FakeClock() if clock is None else clock,
        assets=AssetCache(host, cache, sources, digest=digests.digest, transport=Transport({}, timeout_seconds=5.0)),
        digests=digests,
        journal=Journal(host),
        keysets={} if keysets is None else keysets,
        addresses=("10.0.0.5/24",),
        ask=ask,
        on_wait=on_wait,
    )


def keyset(*ids: str) -> Keyset:
    """A keyset with a CA for each id; the same one each time, because keys are slow to make."""
    return Keyset(name="kubernetes-ca", primary_id=ids[0], items=tuple(_item(one) for one in ids))


@functools.cache
def _item(item_id: str) -> KeysetItem:
    key = generate_rsa_key()
    start = FakeClock().now()
    name = f"kubernetes-ca-{item_id}"
    certificate = self_signed_ca(name, key=key, not_before=start - timedelta(days=2), not_after=start + timedelta(days=3650))
    return KeysetItem(id=item_id, certificate_pem=certificate, key=key)


def keypair(item_id: str) -> Keypair:
    return _item(item_id).keypair()


def scratch(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir(exist_ok=True)
    return path
