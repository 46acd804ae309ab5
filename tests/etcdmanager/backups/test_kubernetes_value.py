from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdmanager.backups.kubernetes_value import Encoding, describe


def envelope(version: bytes, kind: bytes) -> bytes:
    meta = b"\x0a" + bytes([len(version)]) + version + b"\x12" + bytes([len(kind)]) + kind
    return b"k8s\0\x0a" + bytes([len(meta)]) + meta + b"\x12\x03abc\x1a\x00\x22\x00"


@pytest.mark.parametrize(
    ("value", "encoding", "what"),
    [
        pytest.param(b"", Encoding.EMPTY, "", id="nothing"),
        pytest.param(envelope(b"apps/v1", b"Deployment"), Encoding.KUBERNETES, "apps/v1 Deployment", id="an object"),
        pytest.param(b"k8s:enc:aescbc:v1:key1:\x9f\x01", Encoding.ENCRYPTED, "aescbc key key1", id="an encrypted secret"),
        pytest.param(b'{"apiVersion":"v1","kind":"Lease"}', Encoding.JSON, "v1 Lease", id="JSON, as custom resources are"),
        pytest.param(b"{not json", Encoding.TEXT, "", id="text that begins like JSON"),
        pytest.param(b"\xff\xfe", Encoding.BINARY, "", id="bytes"),
    ],
)
def test_a_value_is_recognised(value: bytes, encoding: Encoding, what: str) -> None:
    described = describe(value)

    assert (described.encoding, described.what) == (encoding, what)


@given(st.binary() | st.binary().map(b"k8s\0".__add__) | st.binary().map(b"k8s:enc:".__add__) | st.text().map(str.encode))
def test_any_bytes_have_an_answer(value: bytes) -> None:
    assert describe(value).encoding in Encoding


def test_deeply_nested_json_is_no_way_to_end_the_program() -> None:
    assert describe(b'{"a":' + b"[" * 100_000).encoding is Encoding.TEXT
