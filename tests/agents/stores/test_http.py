from __future__ import annotations

from collections.abc import Callable

import pytest

from agents.errors import AccessError, AgentError, NotFoundError, SpecError, TransientError
from agents.stores.http import HttpStore
from tests.support.http import Answer, Request, http_server


def test_documents_are_read_whole_and_in_pieces() -> None:
    document = bytes(range(256)) * 10_000
    with http_server(lambda _: Answer(body=document, headers={"ETag": '"v1"'})) as server:
        store = HttpStore(f"{server.url}/base/")

        assert store.read("a b/ü:1%") == document
        assert b"".join(store.stream("x")) == document
        assert store.read_versioned("x").version == '"v1"'
        assert store.exists("x")

    assert server.requests[0].path == "/base/a%20b/%C3%BC%3A1%25"


def test_a_child_is_below_and_named_so() -> None:
    with http_server(lambda _: Answer(body=b"1")) as server:
        child = HttpStore(server.url).child("a").child("b")
        child.read("c")

        assert child.url == f"{server.url}/a/b"
    assert server.requests[0].path == "/a/b/c"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, NotFoundError),
        (410, NotFoundError),
        (401, AccessError),
        (403, AccessError),
        (429, TransientError),
        (503, TransientError),
        (400, SpecError),
    ],
)
def test_a_status_becomes_an_error_by_who_must_act(status: int, error: type[AgentError]) -> None:
    with http_server(lambda _: Answer(status=status)) as server:
        store = HttpStore(server.url)
        for read in (store.read, store.read_versioned, store.stream):
            with pytest.raises(error, match=str(status)):
                read("x")


def test_what_is_not_found_does_not_exist() -> None:
    with http_server(lambda _: Answer(status=404)) as server:
        assert not HttpStore(server.url).exists("x")


def test_nobody_listening_is_transient() -> None:
    with http_server(lambda _: Answer()) as server:
        pass
    with pytest.raises(TransientError):
        HttpStore(server.url).read("x")


def test_an_answer_that_ends_too_early_is_transient_and_not_a_short_document() -> None:
    with http_server(lambda _: Answer(body=b"half", claimed_bytes=8)) as server:
        store = HttpStore(server.url)
        with pytest.raises(TransientError):
            store.read("x")
        with pytest.raises(TransientError):
            list(store.stream("x"))


def test_a_redirect_is_followed() -> None:
    def answer(request: Request) -> Answer:
        return Answer(status=302, headers={"Location": "/new"}) if request.path == "/old" else Answer(body=b"there")

    with http_server(answer) as server:
        assert HttpStore(server.url).read("old") == b"there"


def test_nothing_can_be_written_or_listed() -> None:
    store = HttpStore("https://example.com")
    calls: tuple[Callable[[], object], ...] = (
        lambda: store.write("a", b""),
        lambda: store.create("a", b""),
        lambda: store.replace_if_unchanged("a", b"", ""),
        lambda: store.delete("a"),
        store.list,
    )
    for call in calls:
        with pytest.raises(SpecError, match="only be read"):
            call()


def test_a_malformed_key_is_refused() -> None:
    with pytest.raises(SpecError):
        HttpStore("https://example.com").read("../x")
