from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import VerificationError
from nodeup.assets.archive import MANIFEST, member_path, unpack, unpacked_members


def an_archive(path: Path, members: dict[str, bytes], *, edit: Callable[[tarfile.TarInfo], None] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o755
            if edit is not None:
                edit(info)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_regular_files_are_unpacked_with_their_hashes(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "a.tgz", {"./bin/ctr": b"ctr", "LICENSE": b"text"})

    members = unpack(archive, tmp_path / "out")

    assert [member.path for member in members] == ["LICENSE", "bin/ctr"]
    assert members[1].file.read_bytes() == b"ctr"
    assert members[1].sha256 == hashlib.sha256(b"ctr").hexdigest()
    assert unpacked_members(tmp_path / "out") == members
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tgz", "out"]


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../evil", MANIFEST, "x/../y"])
def test_a_member_that_leads_out_is_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    archive = an_archive(tmp_path / "a.tgz", {"good": b"x", name: b"evil"})

    with pytest.raises(VerificationError, match="is not taken"):
        unpack(archive, tmp_path / "deep/out")

    assert not (tmp_path / "evil").exists()
    assert list((tmp_path / "deep").iterdir()) == []


def test_links_and_devices_are_not_taken(tmp_path: Path) -> None:
    def become_links(info: tarfile.TarInfo) -> None:
        kinds = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "null": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE}
        if info.name in kinds:
            info.type, info.linkname, info.size = kinds[info.name], "/etc", 0

    archive = an_archive(tmp_path / "a.tgz", {"link": b"", "hard": b"", "null": b"", "pipe": b"", "file": b"x"}, edit=become_links)

    assert [member.path for member in unpack(archive, tmp_path / "out")] == ["file"]


def test_a_file_below_a_link_is_written_to_a_directory_of_its_own(tmp_path: Path) -> None:
    def become_link(info: tarfile.TarInfo) -> None:
        if info.name == "dir":
            info.type, info.linkname, info.size = tarfile.SYMTYPE, str(tmp_path / "outside"), 0

    (tmp_path / "outside").mkdir()
    archive = an_archive(tmp_path / "a.tgz", {"dir": b"", "dir/evil": b"x"}, edit=become_link)

    unpack(archive, tmp_path / "out")

    assert list((tmp_path / "outside").iterdir()) == []
    assert (tmp_path / "out/dir/evil").read_bytes() == b"x"


def test_a_truncated_archive_leaves_nothing(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "a.tgz", {"big": bytes(range(256)) * 1000})
    archive.write_bytes(archive.read_bytes()[:-500])

    with pytest.raises(VerificationError, match="no archive that can be unpacked"):
        unpack(archive, tmp_path / "out")

    assert unpacked_members(tmp_path / "out") is None
    assert [path.name for path in tmp_path.iterdir()] == ["a.tgz"]


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(b"<html>")

    with pytest.raises(VerificationError):
        unpack(tmp_path / "a.tgz", tmp_path / "out")


def test_an_unpacked_directory_that_lost_a_file_does_not_count(tmp_path: Path) -> None:
    unpack(an_archive(tmp_path / "a.tgz", {"a": b"x", "b": b"y"}), tmp_path / "out")
    (tmp_path / "out/a").unlink()

    assert unpacked_members(tmp_path / "out") is None


def test_unpacking_again_replaces_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").write_bytes(b"x")

    unpack(an_archive(tmp_path / "a.tgz", {"new": b"y"}), tmp_path / "out")

    assert not (tmp_path / "out/old").exists()


def test_the_last_of_two_members_of_one_name_counts_as_in_tar(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for content in (b"first", b"second"):
            info = tarfile.TarInfo("a")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))

    (member,) = unpack(tmp_path / "a.tar", tmp_path / "out")

    assert member.file.read_bytes() == b"second"


@given(st.text(alphabet="a./\\\0 ", max_size=12))
def test_a_path_that_is_taken_stays_below_its_directory(name: str) -> None:
    try:
        path = member_path(name)
    except VerificationError:
        return

    assert path is None or not (path.startswith("/") or ".." in path.split("/"))
