from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.errors import VerificationError
from etcdmanager.backups.compression import deflater, inflate


@pytest.fixture(params=["isal", "zlib"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "isal":
        pytest.importorskip("isal", reason="isal is not installed: pip install 'node-agents[fast-gzip]'")
    else:
        monkeypatch.setitem(sys.modules, "isal", None)
    return iter([request.param])


shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@shared
@given(pieces=st.lists(st.binary(max_size=5000)), cut=st.integers(1, 997))
def test_what_is_compressed_is_read_by_us_and_by_everybody(library: Iterator[str], pieces: list[bytes], cut: int) -> None:
    gzip_stream = deflater()
    packed = b"".join([gzip_stream.compress(piece) for piece in pieces]) + gzip_stream.flush()
    whole = b"".join(pieces)

    assert gzip.decompress(packed) == whole
    assert b"".join(inflate(packed[at : at + cut] for at in range(0, len(packed), cut))) == whole


def test_several_members_are_one_file(library: Iterator[str]) -> None:
    assert b"".join(inflate([gzip.compress(b"one"), gzip.compress(b"two")])) == b"onetwo"


@shared
@given(content=st.binary(min_size=1, max_size=3000), short=st.integers(1, 20))
def test_a_cut_file_is_never_taken_for_whole(library: Iterator[str], content: bytes, short: int) -> None:
    packed = gzip.compress(content)

    with pytest.raises(VerificationError):
        list(inflate([packed[:-short]]))


def test_a_small_file_never_becomes_a_large_piece_of_memory(library: Iterator[str]) -> None:
    packed = gzip.compress(bytes(200 << 20), 9)

    assert max(len(piece) for piece in inflate([packed])) <= 4 << 20
