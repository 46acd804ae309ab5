from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agents.errors import AgentError, SpecError
from nodeup.assets.image import take_files
from nodeup.assets.registry import ImageReference, parse_reference
from tests.fakes.registry import ETCD, ETCDCTL, IMAGE, Registry, a_layer, digest
from tests.support.http import Answer, HttpServer, http_server


def served(registry: Registry, run: Callable[[HttpServer], None]) -> None:
    with http_server(registry.answer) as server:
        registry.url = server.url
        run(server)


def take(server: HttpServer, directory: Path, image: str = IMAGE, architecture: str = "amd64", *paths: str) -> dict[str, bytes]:
    wanted = paths or ("/usr/local/bin/etcd", "/usr/local/bin/etcdctl")
    mirrors = (("registry.example.com", server.url),)
    return {
        path: file.read_bytes()
        for path, file in take_files(image, wanted, architecture=architecture, mirrors=mirrors, directory=directory).items()
    }


def test_files_come_from_the_uppermost_layer_that_has_them(tmp_path: Path) -> None:
    def run(server: HttpServer) -> None:
        assert take(server, tmp_path) == {"/usr/local/bin/etcd": ETCD, "/usr/local/bin/etcdctl": ETCDCTL}
        assert sum("/blobs/" in request.path for request in server.requests) == 1, "the lower layer is not needed"

    served(Registry(), run)


def test_a_registry_that_wants_a_token_gets_an_anonymous_one(tmp_path: Path) -> None:
    def run(server: HttpServer) -> None:
        assert take(server, tmp_path)["/usr/local/bin/etcd"] == ETCD
        assert sum(request.path.startswith("/token?") for request in server.requests) == 1

    served(Registry(token="anonymous"), run)


def test_an_image_named_by_digest_is_held_to_it(tmp_path: Path) -> None:
    registry = Registry()
    good = f"registry.example.com/library/etcd:3.5.16-0@{digest(registry.index)}"

    served(registry, lambda server: assert_etcd(take(server, tmp_path, good)))


def assert_etcd(taken: dict[str, bytes]) -> None:
    assert taken["/usr/local/bin/etcd"] == ETCD


def test_a_manifest_with_another_digest_is_refused(tmp_path: Path) -> None:
    registry = Registry()
    named = f"registry.example.com/library/etcd@{digest(registry.index)}"
    registry.answer = lambda _: Answer(body=b"{}")  # type: ignore[method-assign]

    with http_server(registry.answer) as server, pytest.raises(AgentError, match="is not that of sha256"):
        take(server, tmp_path, named)


def test_a_layer_with_another_digest_is_never_opened(tmp_path: Path) -> None:
    registry = Registry()
    for name, content in registry.blobs.items():
        if content[:2] == b"\x1f\x8b":
            registry.blobs[name] = a_layer({"usr/local/bin/etcd": b"evil", "usr/local/bin/etcdctl": b"evil"})

    with http_server(registry.answer) as server, pytest.raises(AgentError, match=r"came as .* with another digest"):
        take(server, tmp_path)

    assert not list(tmp_path.rglob("etcd"))


def test_an_architecture_that_is_not_built_is_named(tmp_path: Path) -> None:
    with http_server(Registry().answer) as server, pytest.raises(AgentError, match="not built for linux/riscv64"):
        take(server, tmp_path, IMAGE, "riscv64")


def test_a_file_that_the_image_does_not_have_is_named(tmp_path: Path) -> None:
    with http_server(Registry().answer) as server, pytest.raises(AgentError, match="has no file /usr/local/bin/etcdutl"):
        take(server, tmp_path, IMAGE, "amd64", "/usr/local/bin/etcd", "/usr/local/bin/etcdutl")


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("registry.k8s.io/etcd:3.5.16-0", ImageReference(registry="registry.k8s.io", repository="etcd", tag="3.5.16-0", digest="")),
        ("localhost:5000/a/b", ImageReference(registry="localhost:5000", repository="a/b", tag="latest", digest="")),
    ],
)
def test_references_are_read(text: str, reference: ImageReference) -> None:
    assert parse_reference(text) == reference


@pytest.mark.parametrize("text", ["etcd", "library/etcd:1", "registry.k8s.io/", "registry.k8s.io/a@sha256:00", "registry.k8s.io/A B:1"])
def test_what_is_no_full_reference_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        parse_reference(text)
