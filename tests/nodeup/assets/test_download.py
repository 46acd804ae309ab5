from __future__ import annotations

import hashlib
import os
import re
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from agents.errors import DeadlineError, RefusedError, SpecError, TransientError, VerificationError
from nodeup.assets.download import Downloader, cache_name
from nodeup.assets.transport import Transport
from tests.support.http import Answer, Request, http_server

BODY = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(BODY).hexdigest()
NAME = f"sha256:{SHA256}_kubelet"


def downloader(directory: Path, *, hedge_after: float = 30.0) -> Downloader:
    return Downloader(directory, transport=Transport({}, timeout_seconds=5.0), hedge_after=timedelta(seconds=hedge_after))


def serve(request: Request) -> Answer:
    return Answer(body=BODY)


def serve_ranges(request: Request) -> Answer:
    match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
    if match is None:
        return Answer(body=BODY)
    start = int(match[1])
    if start >= len(BODY):
        return Answer(status=416)
    return Answer(status=206, body=BODY[start:], headers={"Content-Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"})


def assert_only_the_file(directory: Path) -> None:
    assert sorted(path.name for path in directory.iterdir()) == [NAME]
    assert (directory / NAME).read_bytes() == BODY


def test_a_file_with_the_right_hash_gets_its_name(tmp_path: Path) -> None:
    with http_server(serve) as server:
        downloaded = downloader(tmp_path).fetch(NAME, [f"{server.url}/kubelet"], SHA256)

    assert downloaded.path == tmp_path / NAME
    assert downloaded.size_bytes == len(BODY)
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o644
    assert_only_the_file(tmp_path)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(body=b"<html>please log in</html>"), "has 26 bytes with SHA-256"),
        (Answer(body=b""), "is empty"),
    ],
    ids=["wrong bytes", "empty 200"],
)
def test_other_bytes_are_never_taken(tmp_path: Path, answer: Answer, reason: str) -> None:
    with http_server(lambda _: answer) as server, pytest.raises(VerificationError, match=reason):
        downloader(tmp_path).fetch(NAME, [f"{server.url}/kubelet"], SHA256)

    assert list(tmp_path.iterdir()) == []


def test_the_next_mirror_is_asked_when_one_has_other_bytes(tmp_path: Path) -> None:
    with http_server(lambda _: Answer(body=b"stale")) as stale, http_server(serve) as good:
        downloaded = downloader(tmp_path).fetch(NAME, [f"{stale.url}/kubelet", f"{good.url}/kubelet"], SHA256)

    assert downloaded.url.startswith(good.url)
    assert_only_the_file(tmp_path)


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_the_next_mirror_is_asked_when_one_refuses(tmp_path: Path, status: int) -> None:
    with http_server(lambda _: Answer(status=status)) as refusing, http_server(serve) as good:
        downloader(tmp_path).fetch(NAME, [f"{refusing.url}/kubelet", f"{good.url}/kubelet"], SHA256)

    assert_only_the_file(tmp_path)


def test_all_reasons_are_told_when_no_mirror_delivers(tmp_path: Path) -> None:
    with (
        http_server(lambda _: Answer(status=404)) as one,
        http_server(lambda _: Answer(body=b"x")) as two,
        pytest.raises(TransientError) as caught,
    ):
        downloader(tmp_path).fetch(NAME, [f"{one.url}/kubelet", f"{two.url}/kubelet", "http://127.0.0.1:1/kubelet"], SHA256)

    assert "answered 404" in str(caught.value)
    assert "has 1 bytes with SHA-256" in str(caught.value)
    assert "refused" in str(caught.value)


def test_a_body_that_ends_early_is_continued_from_there(tmp_path: Path) -> None:
    def break_off_once(request: Request) -> Answer:
        if "range" in request.headers:
            return serve_ranges(request)
        return Answer(body=BODY[:300_000], claimed_bytes=len(BODY))

    with http_server(break_off_once) as server:
        downloaded = downloader(tmp_path).fetch(NAME, [f"{server.url}/kubelet"], SHA256)

        assert [request.headers.get("range") for request in server.requests] == [None, "bytes=300000-"]
    assert downloaded.resumed_bytes == 300_000
    assert_only_the_file(tmp_path)


def test_another_mirror_continues_what_the_first_began(tmp_path: Path) -> None:
    with http_server(lambda _: Answer(body=BODY[:300_000], claimed_bytes=len(BODY))) as breaking, http_server(serve_ranges) as good:
        downloaded = downloader(tmp_path).fetch(NAME, [f"{breaking.url}/kubelet", f"{good.url}/kubelet"], SHA256)

    assert downloaded.url.startswith(good.url)
    assert downloaded.resumed_bytes == 300_000
    assert_only_the_file(tmp_path)


def test_a_mirror_without_ranges_sends_everything_again(tmp_path: Path) -> None:
    with http_server(lambda _: Answer(body=BODY[:300_000], claimed_bytes=len(BODY))) as breaking, http_server(serve) as good:
        downloaded = downloader(tmp_path).fetch(NAME, [f"{breaking.url}/kubelet", f"{good.url}/kubelet"], SHA256)

    assert downloaded.resumed_bytes == 0
    assert_only_the_file(tmp_path)


def test_what_an_earlier_process_left_is_continued(tmp_path: Path) -> None:
    (tmp_path / f".{NAME}.4242-1-1.partial").write_bytes(BODY[:500_000])

    with http_server(serve_ranges) as server:
        downloaded = downloader(tmp_path).fetch(NAME, [f"{server.url}/kubelet"], SHA256)

    assert downloaded.resumed_bytes == 500_000
    assert_only_the_file(tmp_path)


@pytest.mark.parametrize("left", [b"garbage" * 1000, BODY + b"too long"], ids=["garbage", "too long"])
def test_a_damaged_beginning_is_thrown_away_and_fetched_anew(tmp_path: Path, left: bytes) -> None:
    (tmp_path / f".{NAME}.4242-1-1.partial").write_bytes(left)

    with http_server(serve_ranges) as server:
        downloaded = downloader(tmp_path).fetch(NAME, [f"{server.url}/kubelet"], SHA256)

    assert downloaded.resumed_bytes == 0
    assert_only_the_file(tmp_path)


def test_a_mirror_that_never_gets_further_is_given_up(tmp_path: Path) -> None:
    with http_server(lambda _: Answer(body=b"", claimed_bytes=len(BODY))) as server:
        with pytest.raises(TransientError, match=r"the connection ended after 0 of 1048576 bytes"):
            downloader(tmp_path).fetch(NAME, [f"{server.url}/kubelet"], SHA256)

        assert len(server.requests) == 1


def test_a_silent_mirror_is_overtaken_by_the_next(tmp_path: Path) -> None:
    release = threading.Event()

    def hold(request: Request) -> Answer:
        release.wait(timeout=20)
        return Answer(body=BODY)

    with http_server(hold) as silent, http_server(serve) as good:
        downloaded = downloader(tmp_path, hedge_after=0.1).fetch(NAME, [f"{silent.url}/kubelet", f"{good.url}/kubelet"], SHA256)
        release.set()

    assert downloaded.url.startswith(good.url)
    assert (tmp_path / NAME).read_bytes() == BODY


def test_a_slow_mirror_that_is_the_only_one_is_waited_for(tmp_path: Path) -> None:
    def slowly(request: Request) -> Answer:
        threading.Event().wait(0.4)
        return Answer(body=BODY)

    with http_server(slowly) as server:
        downloader(tmp_path, hedge_after=0.1).fetch(NAME, [f"{server.url}/kubelet"], SHA256)

    assert_only_the_file(tmp_path)


def test_a_download_has_a_deadline(tmp_path: Path) -> None:
    release = threading.Event()

    def hold(request: Request) -> Answer:
        release.wait(timeout=20)
        return Answer(body=BODY)

    with http_server(hold) as silent:
        with pytest.raises(DeadlineError, match="was not downloaded in time"):
            downloader(tmp_path).fetch(NAME, [f"{silent.url}/kubelet"], SHA256, deadline=timedelta(seconds=0.2))
        release.set()


@contextmanager
def resetting_server() -> Iterator[str]:
    """Sends a part of the body, then resets the connection (RST, not FIN)."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve_one() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY[:100_000])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    thread = threading.Thread(target=serve_one, daemon=True)
    thread.start()
    with listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(timeout=10)


def test_a_connection_that_is_reset_in_the_body_costs_only_the_rest(tmp_path: Path) -> None:
    with resetting_server() as resetting, http_server(serve_ranges) as good:
        downloaded = downloader(tmp_path).fetch(NAME, [f"{resetting}/kubelet", f"{good.url}/kubelet"], SHA256)

    assert downloaded.url.startswith(good.url)
    assert_only_the_file(tmp_path)


def test_a_file_url_is_an_asset_like_others(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/kubelet").write_bytes(BODY)

    downloader(tmp_path / "cache").fetch(NAME, [(tmp_path / "mirror/kubelet").as_uri()], SHA256)

    assert_only_the_file(tmp_path / "cache")


def test_a_store_is_a_mirror_too(tmp_path: Path) -> None:
    from agents.stores.url import open_store

    open_store("memory://assets/v1", environment={}).write("kubelet", BODY)

    downloader(tmp_path).fetch(NAME, ["memory://assets/v1/kubelet"], SHA256)

    assert_only_the_file(tmp_path)


def test_no_url_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        downloader(tmp_path).fetch(NAME, [], SHA256)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://e.com/release/v1.34.0/bin/linux/amd64/kubelet", "sha256:00_kubelet"),
        ("https://e.com/cni-plugins-linux-amd64-v1.7.1.tgz", "sha256:00_cni-plugins-linux-amd64-v1_7_1_tgz"),
        ("https://e.com/" + "x" * 300, "sha256:00_" + "x" * 200),
    ],
)
def test_names_in_the_cache_are_those_of_kops(url: str, name: str) -> None:
    assert cache_name([url, "https://mirror.example.com/other"], "00") == name


def test_a_file_that_cannot_fit_is_said_before_a_byte_is_written(tmp_path: Path) -> None:
    with http_server(lambda _: Answer(body=b"x", claimed_bytes=1 << 60)) as server, http_server(serve) as never_asked:
        with pytest.raises(TransientError, match=r"has [\d.]+ MB left, too little for .*/kubelet of 1152921504606\.8 MB") as caught:
            downloader(tmp_path).fetch(NAME, [f"{server.url}/kubelet", f"{never_asked.url}/kubelet"], SHA256)

        assert never_asked.requests == []
    assert caught.value.code == "disk-full"
    assert "make room" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of its own needs root")
def test_a_disk_that_fills_up_keeps_no_part_of_the_file(tmp_path: Path) -> None:
    from agents.stores.url import open_store

    # A store does not say how large a file is.
    open_store("memory://large/v1", environment={}).write("kubelet", BODY)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", tmp_path], check=True)
    try:
        with pytest.raises(TransientError, match=r"MB left, too little for memory://large/v1/kubelet") as caught:
            downloader(tmp_path).fetch(NAME, ["memory://large/v1/kubelet", "memory://large/v1/other"], SHA256)
        left = list(tmp_path.iterdir())
    finally:
        subprocess.run(["umount", tmp_path], check=True)

    assert caught.value.code == "disk-full"
    assert left == []


def test_where_nobody_may_be_asked_nobody_is(tmp_path: Path) -> None:
    with http_server(serve) as server:
        with pytest.raises(RefusedError, match="which asks no network"):
            Downloader(tmp_path, transport=Transport({}, offline=True)).fetch(NAME, [f"{server.url}/kubelet"], SHA256)

        assert server.requests == []
