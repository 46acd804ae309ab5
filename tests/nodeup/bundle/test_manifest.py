from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import SpecError, VerificationError
from nodeup.bundle.manifest import BundledImage, BundleManifest, Entry, check_path, decode_manifest, encode_manifest, state_path

MANIFEST = BundleManifest(
    cluster_name="demo.example.com",
    instance_group="control-plane-main",
    role="ControlPlane",
    kubernetes_version="1.34.0",
    architectures=("amd64",),
    with_secrets=True,
    packages=("iptables",),
    images=(BundledImage(reference="registry.k8s.io/pause:3.10.1", architecture="amd64", path="images/pause.tar", is_run=True),),
    entries=(
        Entry(path="assets/sha256:00_kubelet", sha256="00" * 32, size_bytes=7),
        Entry(path="boot/kube_env.yaml", sha256="", size_bytes=0),
    ),
)


def test_what_is_written_is_read() -> None:
    assert decode_manifest(encode_manifest(MANIFEST), where="x") == MANIFEST


def test_a_newer_format_is_told_from_damage() -> None:
    document = json.loads(encode_manifest(MANIFEST)) | {"formatVersion": 2, "somethingNew": {}}

    with pytest.raises(SpecError, match="has format version 2, and this nodeup knows 1") as caught:
        decode_manifest(json.dumps(document).encode(), where="node.tar")

    assert "nodeup in the bundle" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"kind": "NodeBundle", "formatVersion": 1}'])
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(VerificationError):
        decode_manifest(content, where="x")


def test_a_file_listed_twice_is_refused() -> None:
    twice = replace(MANIFEST, entries=(*MANIFEST.entries, MANIFEST.entries[0]))

    with pytest.raises(VerificationError, match="lists assets/sha256:00_kubelet twice"):
        decode_manifest(encode_manifest(twice), where="x")


@pytest.mark.parametrize(
    "path",
    ["../x", "assets/../../etc/passwd", "/assets/x", "etc/passwd", "assets", "assets//x", "state/./x", "assets/x/", "", "state/a\0b"],
)
def test_no_path_leads_out_of_a_bundles_rooms(path: str) -> None:
    with pytest.raises(VerificationError, match="no path of a bundle"):
        check_path(path, where="x")


@given(
    st.sampled_from(["s3://bucket/cluster", "file:///a/b", "/a/b", "gs://b", "memory://n/p", "azureblob://a/c/p/"]),
    st.lists(st.from_regex(r"[a-zA-Z0-9:_-][a-zA-Z0-9:._-]*", fullmatch=True).filter(lambda part: part not in {".", ".."}), min_size=1),
)
def test_property_every_blob_of_a_store_has_a_path_of_its_own(url: str, parts: list[str]) -> None:
    key = "/".join(parts)
    check_path(state_path(url, key), where="x")

    assert state_path(url, key).endswith(f"/{key}")
    assert state_path(url, key) != state_path(url, f"{key}2")
    assert state_path("file:///a/b", key) == state_path("/a/b", key)
