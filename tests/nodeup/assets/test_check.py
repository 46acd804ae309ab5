from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

from agents.errors import AccessError, DeadlineError, NotFoundError, TransientError
from nodeup.assets.check import check_images, check_mirrors
from nodeup.assets.transport import Transport
from tests.support.http import Answer, Request, http_server

TRANSPORT = Transport({}, timeout_seconds=5.0)


def in_part(request: Request) -> Answer:
    assert request.headers["range"] == "bytes=0-0"
    return Answer(status=206, body=b"x", headers={"Content-Range": "bytes 0-0/1048576"})


def test_a_mirror_says_its_size_and_whether_it_continues_downloads() -> None:
    with http_server(in_part) as server, http_server(lambda _: Answer(body=b"y" * 77)) as without_ranges:
        one, other = check_mirrors([f"{server.url}/kubelet", f"{without_ranges.url}/kubelet"], TRANSPORT)

    assert (one.error, one.size_bytes, one.accepts_ranges) == (None, 1048576, True)
    assert (other.error, other.size_bytes, other.accepts_ranges) == (None, 77, False)


def test_what_a_mirror_refuses_is_told_with_its_reason() -> None:
    with http_server(lambda request: Answer(status=int(request.path[1:]))) as server:
        answers = check_mirrors([f"{server.url}/404", f"{server.url}/403", f"{server.url}/503", "http://127.0.0.1:1/x"], TRANSPORT)

    assert [type(answer.error) for answer in answers] == [NotFoundError, AccessError, TransientError, TransientError]


def test_a_mirror_that_is_silent_does_not_hold_up_the_others() -> None:
    release = threading.Event()

    def hold(_: Request) -> Answer:
        release.wait(timeout=20)
        return Answer()

    with http_server(hold) as silent, http_server(in_part) as good:
        slow, fast = check_mirrors([f"{silent.url}/x", f"{good.url}/x"], TRANSPORT, deadline=timedelta(seconds=1))
        release.set()

    assert isinstance(slow.error, DeadlineError)
    assert fast.error is None


def test_a_file_is_a_mirror_that_continues(tmp_path: Path) -> None:
    (tmp_path / "kubelet").write_bytes(b"abc")

    (answer,) = check_mirrors([(tmp_path / "kubelet").as_uri()], TRANSPORT)

    assert (answer.size_bytes, answer.accepts_ranges) == (3, True)


def test_an_image_is_asked_for_by_its_manifest_and_with_an_anonymous_token() -> None:
    def registry(request: Request) -> Answer:
        if request.path.startswith("/token"):
            return Answer(body=b'{"token": "t"}')
        if request.headers.get("authorization") != "Bearer t":
            return Answer(status=401, headers={"WWW-Authenticate": f'Bearer realm="{server.url}/token",service="r"'})
        return Answer(status=200 if request.path == "/v2/pause/manifests/3.10.1" and request.method == "HEAD" else 404)

    with http_server(registry) as server:
        there, missing = check_images(["registry.k8s.io/pause:3.10.1", "registry.k8s.io/pause:9"], [("registry.k8s.io", server.url)])

    assert there.error is None
    # Its own registry is asked after the mirror; there is none in a test.
    assert isinstance(missing.error, NotFoundError | TransientError)


def test_an_image_without_a_registry_is_told_and_not_raised() -> None:
    (answer,) = check_images(["pause"], [])

    assert "names no registry" in str(answer.error)
