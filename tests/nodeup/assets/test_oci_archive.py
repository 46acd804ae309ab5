from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from agents.errors import NotFoundError, VerificationError
from nodeup.assets.oci_archive import TarEntry, files_of_archive, save_image, write_tar
from tests.fakes.registry import ETCD, IMAGE, Registry, digest
from tests.support.http import Answer, http_server


def saved(directory: Path, registry: Registry, image: str = IMAGE) -> Path:
    directory.mkdir(exist_ok=True)
    with http_server(registry.answer) as server:
        registry.url = server.url
        save_image(
            image, architecture="amd64", mirrors=(("registry.example.com", server.url),), directory=directory, out=directory / "etcd.tar"
        )
    return directory / "etcd.tar"


def test_an_archive_holds_the_registrys_own_manifest_and_layers(tmp_path: Path) -> None:
    registry = Registry(token="anonymous")

    with tarfile.open(saved(tmp_path, registry)) as tar:
        members = {member.name: (source.read() if (source := tar.extractfile(member)) else b"") for member in tar}

    (described,) = json.loads(members["index.json"])["manifests"]
    assert described["annotations"]["io.containerd.image.name"] == IMAGE
    assert members["blobs/sha256/" + described["digest"].removeprefix("sha256:")] in registry.blobs.values()
    assert all(digest(content) == f"sha256:{name[13:]}" for name, content in members.items() if name.startswith("blobs/"))
    assert sum(name.startswith("blobs/") for name in members) == 3


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    assert saved(tmp_path / "a", Registry()).read_bytes() == saved(tmp_path / "b", Registry()).read_bytes()


def test_files_come_out_of_an_archive_without_any_registry(tmp_path: Path) -> None:
    found = files_of_archive(saved(tmp_path, Registry()), ["/usr/local/bin/etcd", "/etc/x"], tmp_path / "out")

    assert found["/usr/local/bin/etcd"].read_bytes() == ETCD
    assert found["/etc/x"].read_bytes() == b"y"


def test_a_file_that_the_archive_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="has no file /usr/local/bin/etcdutl"):
        files_of_archive(saved(tmp_path, Registry()), ["/usr/local/bin/etcdutl"], tmp_path / "out")


def test_an_archive_with_other_bytes_than_its_digests_say_is_refused(tmp_path: Path) -> None:
    archive = saved(tmp_path, Registry())
    with tarfile.open(archive) as tar:
        entries = [(member.name, source.read() if (source := tar.extractfile(member)) else b"") for member in tar]
    changed = io.BytesIO()
    write_tar(changed, [TarEntry(path=name, content=body[:-1] + b"!" if body[:2] == b"\x1f\x8b" else body) for name, body in entries])
    archive.write_bytes(changed.getvalue())

    with pytest.raises(VerificationError, match="has other bytes"):
        files_of_archive(archive, ["/usr/local/bin/etcd"], tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"no archive", b"\0" * 10240], ids=["empty", "text", "zeros"])
def test_what_is_no_archive_of_an_image_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(content)

    with pytest.raises(VerificationError, match="is no archive of an image"):
        files_of_archive(tmp_path / "x.tar", ["/a"], tmp_path / "out")


def test_a_registry_that_lies_leaves_no_archive(tmp_path: Path) -> None:
    registry = Registry()
    for name, content in registry.blobs.items():
        if content[:2] == b"\x1f\x8b":
            registry.blobs[name] = content + b"more"
    registry_answer = registry.answer

    with http_server(lambda request: registry_answer(request) if "unreachable" not in request.path else Answer(status=500)) as server:
        mirrors = (("registry.example.com", server.url),)
        with pytest.raises(Exception, match="with another digest"):
            save_image(IMAGE, architecture="amd64", mirrors=mirrors, directory=tmp_path, out=tmp_path / "etcd.tar")

    assert not (tmp_path / "etcd.tar").exists()
