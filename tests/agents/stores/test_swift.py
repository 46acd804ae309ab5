from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from agents.errors import AccessError, ConflictError, SpecError
from agents.stores.swift import MARKERS
from agents.stores.swift_session import SwiftSettings, object_store_url
from agents.stores.url import open_store
from tests.support.swift import SwiftServer, swift_server

PASSWORD = {"OS_AUTH_URL": "https://k:5000", "OS_USERNAME": "u", "OS_PASSWORD": "hunter2", "OS_PROJECT_NAME": "p"}


@pytest.fixture
def server() -> Iterator[SwiftServer]:
    with swift_server() as found:
        yield found


def test_a_token_that_ended_is_replaced_without_anybody_noticing(server: SwiftServer) -> None:
    store = open_store(server.url, environment=server.environment)
    store.write("a", b"1")
    server.tokens.clear()

    assert store.read("a") == b"1"


def test_wrong_credentials_are_an_access_error(server: SwiftServer) -> None:
    with pytest.raises(AccessError, match="Keystone does not accept"):
        open_store(server.url, environment={**server.environment, "OS_PASSWORD": "wrong"}).read("a")


def test_a_container_that_does_not_exist_is_the_operators_mistake(server: SwiftServer) -> None:
    store = open_store("swift://typo/a", environment=server.environment)

    for ask in (store.read, store.exists, store.stream, store.list, store.delete):
        with pytest.raises(SpecError, match="container does not exist"):
            ask("b")


def test_a_replacement_that_somebody_else_is_at_conflicts(server: SwiftServer) -> None:
    store = open_store(server.url, environment=server.environment)
    version = store.create("a", b"1")
    put = server.bucket.put
    store.replace_if_unchanged("a", b"2", version)
    marker = next(request.path for request in server.requests if MARKERS in request.path).partition("state/")[2]
    put("a", b"1")
    put(marker, b"")

    with pytest.raises(ConflictError, match="being replaced by somebody else"):
        store.replace_if_unchanged("a", b"3", version)

    assert store.read("a") == b"1"


def test_markers_end_by_themselves_and_are_no_blobs(server: SwiftServer) -> None:
    store = open_store(server.url, environment=server.environment)
    store.replace_if_unchanged("a", b"2", store.create("a", b"1"))

    markers = [request for request in server.requests if MARKERS in request.path]
    assert [request.method for request in markers] == ["PUT", "DELETE"]
    assert markers[0].headers["x-delete-after"] == "120"
    assert [entry.key for entry in store.list()] == ["a"]


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({}, "needs OS_AUTH_URL"),
        ({"OS_AUTH_URL": "https://k"}, "no credentials"),
        ({"OS_AUTH_URL": "https://k", "OS_USERNAME": "u", "OS_PASSWORD": "p"}, "OS_PROJECT_ID"),
    ],
)
def test_what_is_missing_in_the_environment_is_named(environment: dict[str, str], complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        SwiftSettings.from_environment(environment)


@pytest.mark.parametrize("url", ["https://k:5000", "https://k:5000/", "https://k:5000/v3", "https://k:5000/v3/", "https://k:5000/v2.0"])
def test_keystone_is_asked_in_version_three(url: str) -> None:
    assert SwiftSettings.from_environment({**PASSWORD, "OS_AUTH_URL": url}).auth_url == "https://k:5000/v3"


def test_a_password_is_scoped_to_its_project_and_never_shown() -> None:
    settings = SwiftSettings.from_environment({**PASSWORD, "OS_USER_DOMAIN_NAME": "D", "OS_PROJECT_DOMAIN_ID": "pd"})

    assert json.loads(settings.identity.reveal()) == {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": {"name": "u", "password": "hunter2", "domain": {"name": "D"}}}},
            "scope": {"project": {"name": "p", "domain": {"id": "pd"}}},
        }
    }
    assert "hunter2" not in repr(settings)


def test_an_application_credential_has_no_scope() -> None:
    environment = {"OS_AUTH_URL": "https://k", "OS_APPLICATION_CREDENTIAL_ID": "i", "OS_APPLICATION_CREDENTIAL_SECRET": "s"}

    assert json.loads(SwiftSettings.from_environment(environment).identity.reveal()) == {
        "auth": {"identity": {"methods": ["application_credential"], "application_credential": {"id": "i", "secret": "s"}}}
    }


def test_a_region_without_an_object_store_is_named() -> None:
    with pytest.raises(SpecError, match="no public object store in region three"):
        object_store_url({"token": {"catalog": []}}, "three")
