from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

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


@contextmanager
def dripping_server() -> Iterator[str]:
    """Promises a megabyte and sends a byte now and then, for as long as somebody listens."""
    listener = socket.create_server(("127.0.0.1", 0))
    ending = threading.Event()

    def drip() -> None:
        with suppress(OSError):
            while not ending.is_set():
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                    while not ending.wait(0.02):
                        connection.sendall(b"x")

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ending.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=10)


def test_a_server_that_sends_a_byte_now_and_then_is_given_up() -> None:
    soon = timedelta(seconds=0.3)
    with dripping_server() as url:
        store = HttpStore(url, read_deadline=soon, stream_deadline=soon).child("below")
        with pytest.raises(TransientError, match=r"bytes in 0\.3 s, which is too slow"):
            store.read("x")
        with pytest.raises(TransientError, match="too slow"):
            list(store.stream("x"))
