"""What of Google's and Azure's stores the contract does not say."""

from __future__ import annotations

import pytest

from agents.errors import SpecError
from agents.stores.url import open_store
from tests.support.azure_blob import azure_server
from tests.support.gcs import gcs_server


def test_google_decides_a_creation_by_the_generation_that_an_absent_object_has() -> None:
    with gcs_server() as server:
        store = open_store(f"{server.url}/a", environment=server.environment)
        version = store.create("b", b"1")
        store.replace_if_unchanged("b", b"2", version)

    conditions = [request.headers.get("x-goog-if-generation-match") for request in server.requests if request.method == "PUT"]
    assert conditions == ["0", version]


def test_azure_decides_by_etag() -> None:
    with azure_server() as server:
        store = open_store(f"{server.url}/a", environment=server.environment)
        version = store.create("b", b"1")
        store.replace_if_unchanged("b", b"2", version)

    puts = [request for request in server.requests if request.method == "PUT"]
    assert puts[0].headers["if-none-match"] == "*"
    assert puts[1].headers["if-match"] == version


def test_a_bucket_that_does_not_exist_is_the_operators_mistake() -> None:
    with gcs_server() as gcs, azure_server() as azure:
        stores = [
            open_store("gs://typo/a", environment=gcs.environment),
            open_store("azureblob://account/typo/a", environment=azure.environment),
        ]
        for store in stores:
            for ask in (store.read, store.exists, store.list):
                with pytest.raises(SpecError, match="bucket does not exist"):
                    ask("b")


@pytest.mark.parametrize(
    "url", ["gs://", "gs:///a", "azureblob://account", "azureblob://account/", "azureblob:///c/a", "swift://", "swift:///a"]
)
def test_a_url_that_names_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(SpecError, match="names no"):
        open_store(url, environment={"OS_AUTH_URL": "https://k", "OS_USERNAME": "u", "OS_PASSWORD": "p", "OS_PROJECT_ID": "p"})
