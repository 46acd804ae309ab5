"""The asset list of a node."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import SpecError
from nodeup.assets.catalog import ArchiveMember, Catalog, parse_source
from nodeup.resources.content import FromAsset

SHA256 = "ab" * 32
ARCHIVE = "https://example.com/containerd-2.3.4.tar.gz"
KUBELET = "https://example.com/bin/kubelet"


@pytest.mark.parametrize("scheme", ["http", "https", "gs", "s3", "azureblob"])
def test_an_entry_is_a_hash_and_its_mirrors(scheme: str) -> None:
    source = parse_source(f"{SHA256}@{scheme}://a/kubelet,https://b/kubelet")
    assert source.urls == (f"{scheme}://a/kubelet", "https://b/kubelet")
    assert source.hash == f"sha256:{SHA256}"
    assert source.key == "kubelet"


def test_a_hash_may_name_its_algorithm_or_be_missing() -> None:
    assert parse_source(f"sha256:{SHA256.upper()}@{KUBELET}").hash == f"sha256:{SHA256}"
    assert parse_source(f"{'0' * 32}@{KUBELET}").hash == f"md5:{'0' * 32}"
    assert parse_source(KUBELET).hash is None


@pytest.mark.parametrize("text", ["", "kubelet", f"{SHA256}@ftp://a/b", f"xyz@{KUBELET}", f"{SHA256[:-1]}@{KUBELET}"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        parse_source(text)


def test_members_of_archives_are_assets_once_they_are_known() -> None:
    before = Catalog.of([f"{SHA256}@{ARCHIVE}", f"{SHA256}@{KUBELET}"])
    assert not before.members_known
    assert before.find("containerd") is None
    after = Catalog.of([f"{SHA256}@{ARCHIVE}"], members=[ArchiveMember(path="bin/containerd", archive=ARCHIVE)])
    assert after.find("containerd") == FromAsset("containerd", "bin/containerd")
    assert after.matching(r"^bin/") == (FromAsset("containerd", "bin/containerd"),)


def test_an_ambiguous_name_is_refused_and_a_missing_one_said() -> None:
    catalog = Catalog.of([f"{SHA256}@{KUBELET}", f"{SHA256}@https://other.example.com/kubelet"])
    with pytest.raises(SpecError, match="ambiguous"):
        catalog.find("kubelet")
    with pytest.raises(SpecError, match="lists no asset kubectl; found kubelet"):
        catalog.need("kubectl")


@given(st.lists(st.from_regex(r"https://[a-z]{1,8}\.example/[a-z]{1,8}", fullmatch=True), min_size=1, max_size=4))
def test_reading_and_writing_an_entry_gives_it_back(urls: list[str]) -> None:
    source = parse_source(f"{SHA256}@{','.join(urls)}")
    assert source.urls == tuple(urls)
