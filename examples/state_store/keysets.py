"""The cluster's own signers, freshly made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta

from agents.pki.issue import self_signed_ca
from agents.pki.keypair import generate_rsa_key, public_key_pem
from agents.pki.keyset import Keyset, KeysetItem
from examples.state_store.cluster import ETCD_CLUSTERS

#: What kops gives its CAs.
LIFETIME = timedelta(days=3650)

#: Clocks of machines differ, and a CA that is not valid yet stops everything; kops takes two days.
BACKDATED = timedelta(hours=48)


def signer_names() -> tuple[str, ...]:
    """Return the names of the keysets of a cluster with the etcd clusters main and events."""
    per_etcd = tuple(f"{kind}-{etcd.name}" for kind in ("etcd-manager-ca", "etcd-peers-ca") for etcd in ETCD_CLUSTERS)
    return ("apiserver-aggregator-ca", "etcd-clients-ca", *per_etcd, "kubernetes-ca", "service-account")


def make_keysets(now: datetime) -> dict[str, Keyset]:
    """Return a new keyset with one RSA key for each signer; takes a tenth of a second or so for each."""
    return {name: _make_keyset(name, now) for name in signer_names()}


def service_account_public_keys(keysets: Mapping[str, Keyset]) -> str:
    """Return the keys that tokens are verified with, as kops writes them: PEM blocks that say RSA PUBLIC KEY and hold SPKI.

    Source: reference nodeup.md 1.6.
    """
    items = sorted(keysets["service-account"].items, key=lambda item: item.age_order)
    keys = [public_key_pem(item.key).decode() for item in items if item.key is not None]
    return "".join(keys).replace(" PUBLIC KEY-----", " RSA PUBLIC KEY-----")


def _make_keyset(name: str, now: datetime) -> Keyset:
    key = generate_rsa_key()
    serial = (int(now.timestamp() * 1e9) << 32) | int.from_bytes(os.urandom(4))  # kops' scheme: newer keys have larger ids
    certificate = self_signed_ca(name, key=key, not_before=now - BACKDATED, not_after=now + LIFETIME, serial=serial)
    return Keyset(name=name, primary_id=str(serial), items=(KeysetItem(id=str(serial), certificate_pem=certificate, key=key),))
