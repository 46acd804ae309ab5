"""Copying a backup key by key, for a Go leader; the whole way, with etcd and leases, is in tests/etcdmanager/test_go_peers.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from etcdmanager.etcd.answers import KeyValue
from etcdmanager.member.logical_restore import batches


def pair(key: bytes, size: int) -> KeyValue:
    return KeyValue(key=key, value=b"x" * size, create_revision=1, mod_revision=1, version=1, lease_id=0)


@given(st.lists(st.sampled_from((0, 10, 400_000, 1_400_000)), max_size=300))
def test_every_key_is_copied_once_in_order_in_transactions_that_etcd_takes(sizes: list[int]) -> None:
    keys = [pair(b"%d" % number, size) for number, size in enumerate(sizes)]
    cut = batches(keys)
    assert [kv for batch in cut for kv in batch] == keys
    for batch in cut:
        assert 0 < len(batch) <= 128
        # A single value of etcd's largest size goes alone.
        assert len(batch) == 1 or sum(len(kv.key) + len(kv.value) for kv in batch) <= 1 << 20
