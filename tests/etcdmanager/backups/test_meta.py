from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import SpecError, VerificationError
from etcdmanager.backups.meta import BackupMeta, parse_meta, render_meta
from etcdmanager.spec import ClusterSpec

metas = st.builds(
    BackupMeta,
    etcd_version=st.from_regex(r"3\.[0-9]\.[0-9]{1,2}", fullmatch=True),
    taken_at=st.none() | st.integers(1, 2**33).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    spec=st.builds(ClusterSpec, member_count=st.integers(1, 9), etcd_version=st.sampled_from(["3.5.16", "3.6.12"])) | st.none(),
)


@given(metas)
def test_what_is_written_is_read_back(meta: BackupMeta) -> None:
    assert parse_meta(render_meta(meta), where="x") == meta


@given(metas)
def test_only_keys_that_go_knows_are_written(meta: BackupMeta) -> None:
    document = json.loads(render_meta(meta))

    assert set(document) <= {"etcdVersion", "timestamp", "clusterSpec"}
    assert set(document.get("clusterSpec", {})) <= {"memberCount", "etcdVersion"}
    assert isinstance(document.get("timestamp", ""), str)


@pytest.mark.parametrize(
    "text",
    [
        b'{"etcdVersion":"3.5.31","timestamp":"1704067200","clusterSpec":{"memberCount":3,"etcdVersion":"3.5.31"}}',
        b'{ "etcd_version": "3.5.31",  "timestamp": 1704067200, "cluster_spec": {"member_count": "3", "etcd_version":"3.5.31"}, "x": []}\n',
    ],
)
def test_both_spellings_of_go_are_read(text: bytes) -> None:
    assert parse_meta(text, where="x") == BackupMeta(
        etcd_version="3.5.31", taken_at=datetime(2024, 1, 1, tzinfo=UTC), spec=ClusterSpec(member_count=3, etcd_version="3.5.31")
    )


def test_a_version_alone_is_enough() -> None:
    assert parse_meta(b'{"etcdVersion":"v3.4.13"}', where="x").etcd_version == "3.4.13"


def test_a_backup_without_a_version_cannot_be_used() -> None:
    with pytest.raises(VerificationError):
        parse_meta(b"{}", where="x")


@pytest.mark.parametrize("text", [b"", b"\x00", b"null", b'{"etcdVersion":3}', b"[" * 100_000])
def test_garbage_is_named(text: bytes) -> None:
    with pytest.raises(SpecError, match="where it lies"):
        parse_meta(text, where="where it lies")
