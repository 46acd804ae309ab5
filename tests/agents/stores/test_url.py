from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agents.errors import SpecError
from agents.stores.url import open_blob, open_store

ENDPOINT = {"S3_ENDPOINT": "http://127.0.0.1:9", "S3_ACCESS_KEY_ID": "id", "S3_SECRET_ACCESS_KEY": "key"}


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("file:///var/state/demo.example.com", "file:///var/state/demo.example.com"),
        ("file:///var/state/", "file:///var/state"),
        ("/var/state", "file:///var/state"),
        ("memory://test/below", "memory://test/below"),
        ("memfs://test/", "memory://test"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b c/", "s3://bucket/a/b c"),
        ("do://space/a", "do://space/a"),
        ("https://example.com/channels/", "https://example.com/channels"),
    ],
)
def test_a_store_is_named_by_its_url_without_a_trailing_slash(url: str, named: str) -> None:
    assert open_store(url, environment=ENDPOINT).url == named


@pytest.mark.parametrize(
    "url",
    ["", "state", "./state", "file://state", "file://host/state", "file:///a/../b", "s3://", "s3:///a", "s3://bucket/a//b", "s3://b/../c"],
)
def test_a_url_that_names_no_place_is_refused(url: str) -> None:
    with pytest.raises(SpecError):
        open_store(url, environment=ENDPOINT)


def test_an_unknown_scheme_is_told_apart_from_one_that_is_not_built_yet() -> None:
    with pytest.raises(SpecError, match="not built yet"):
        open_store("vault://host/a", environment={})
    with pytest.raises(SpecError, match="unknown scheme ftp://"):
        open_store("ftp://host/a", environment={})


def test_memory_stores_of_one_name_are_one() -> None:
    open_store("memory://test-url/a", environment={}).write("b", b"1")

    assert open_store("memory://test-url", environment={}).read("a/b") == b"1"
    assert not open_store("memory://test-url-2", environment={}).exists("a/b")


@pytest.mark.parametrize(
    ("url", "store_url", "key"),
    [
        ("s3://bucket/demo/manifests/etcd/main.yaml", "s3://bucket/demo/manifests/etcd", "main.yaml"),
        ("s3://bucket/top", "s3://bucket", "top"),
        ("file:///etc/x", "file:///etc", "x"),
        ("/x", "file://", "x"),
    ],
)
def test_the_url_of_a_blob_is_cut_at_the_last_slash(url: str, store_url: str, key: str) -> None:
    store, found = open_blob(url, environment=ENDPOINT)

    assert (store.url, found) == (store_url, key)


@pytest.mark.parametrize("url", ["s3://bucket", "x", "", "https://host"])
def test_a_url_without_a_key_is_no_blob(url: str) -> None:
    with pytest.raises(SpecError):
        open_blob(url, environment=ENDPOINT)


def test_a_store_of_one_kind_costs_no_import_of_another_kinds_sdk() -> None:
    program = (
        "import sys; from agents.stores.url import open_store; "
        "open_store('/tmp', environment={}); open_store('https://x', environment={}); "
        "print(sorted({'obstore', 'boto3', 'requests', 'ssl'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[3]

    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env={"PATH": os.environ["PATH"]}, timeout=30, check=True, capture_output=True, text=True
    )

    assert ran.stdout == "[]\n"
