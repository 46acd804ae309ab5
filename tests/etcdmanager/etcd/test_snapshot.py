from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import VerificationError
from etcdmanager.etcd.snapshot import SnapshotCheck

databases = st.binary(min_size=1, max_size=6).map(lambda seed: (seed * 512)[: 512 * len(seed)])


def check(snapshot: bytes, cuts: list[int]) -> SnapshotCheck:
    checked = SnapshotCheck()
    at = 0
    for cut in cuts:
        checked.feed(snapshot[at : at + cut])
        at += cut
    checked.feed(snapshot[at:])
    return checked


@given(databases, st.lists(st.integers(0, 700)))
def test_a_whole_snapshot_passes_however_it_is_cut(database: bytes, cuts: list[int]) -> None:
    digest = hashlib.sha256(database)

    found = check(database + digest.digest(), cuts).finish()

    assert (found.db_size_bytes, found.db_sha256) == (len(database), digest.hexdigest())


@given(databases, st.integers(1, 600))
def test_a_short_snapshot_never_passes(database: bytes, missing: int) -> None:
    whole = database + hashlib.sha256(database).digest()

    with pytest.raises(VerificationError):
        check(whole[: max(0, len(whole) - missing)], []).finish()


@given(databases, st.data())
def test_a_changed_byte_never_passes(database: bytes, data: st.DataObject) -> None:
    whole = bytearray(database + hashlib.sha256(database).digest())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))

    with pytest.raises(VerificationError):
        check(bytes(whole), []).finish()
