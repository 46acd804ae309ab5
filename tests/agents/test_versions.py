"""Versions out of everything that holds one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import SpecError
from agents.versions import Version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v3.5.16", "3.5.16"),
        ("3.5.16", "3.5.16"),
        ("1.34", "1.34.0"),
        ("1.34.0-beta.1", "1.34.0"),
        ("1.34.0+build.5", "1.34.0"),
        (" v1.2.3\n", "1.2.3"),
        ("https://dl.k8s.example/release/v1.30.0/bin/linux/amd64/kubelet", "1.30.0"),
        ("https://10.0.0.1:8443/binaries/1.31.2/kubelet", "1.31.2"),
    ],
)
def test_a_version_is_found(text: str, expected: str) -> None:
    assert str(Version.parse(text)) == expected


@pytest.mark.parametrize("text", ["", "v", "1", "latest", "x1.2.3", "https://1.2.3.4/latest/kubelet", "1..2"])
def test_what_is_no_version_is_the_operators_error(text: str) -> None:
    with pytest.raises(SpecError, match="wanted a version"):
        Version.parse(text)


def test_versions_order_as_numbers() -> None:
    assert Version.parse("1.9.9") < Version.parse("1.10.0")
    assert Version.parse("1.34.1").at_least(1, 34)
    assert not Version.parse("1.34.1").at_least(1, 34, 2)


parts = st.integers(min_value=0, max_value=999_999_999)


@given(parts, parts, parts)
def test_what_is_written_is_read_back(major: int, minor: int, patch: int) -> None:
    version = Version(major=major, minor=minor, patch=patch)
    assert Version.parse(str(version)) == version == Version.parse(f"v{version}-rc.1")
