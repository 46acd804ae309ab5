"""What every Host does: the machine itself, a directory that stands for one, and the fake."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents.errors import ConflictError, NotFoundError
from agents.host.local import LocalHost
from agents.host.protocol import FileKind, Host
from agents.host.rooted import RootedHost
from tests.fakes.host import FakeHost

US = pwd.getpwuid(os.geteuid()).pw_name
OUR_GROUP = grp.getgrgid(os.getegid()).gr_name


@dataclass(frozen=True, slots=True)
class Place:
    host: Host
    #: A directory of the machine that is empty and may be written to.
    base: str

    def at(self, name: str) -> str:
        return f"{self.base}/{name}"


@pytest.fixture(params=["local", "rooted", "fake"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    match request.param:
        case "local":
            return Place(LocalHost(), str(tmp_path))
        case "rooted":
            RootedHost(tmp_path).make_directory("/base")
            return Place(RootedHost(tmp_path), "/base")
        case _:
            host = FakeHost(scratch=tmp_path)
            host.make_directory("/base")
            return Place(host, "/base")


def test_what_was_written_is_read_and_parents_are_made(place: Place) -> None:
    place.host.write(place.at("a/b/file"), b"content", mode=0o640)
    found = place.host.stat(place.at("a/b/file"))
    assert place.host.read(place.at("a/b/file")) == b"content"
    assert found is not None
    assert (found.kind, found.mode, found.size_bytes, found.target, found.rdev) == (FileKind.FILE, 0o640, 7, None, None)
    parent = place.host.stat(place.at("a/b"))
    assert parent is not None
    assert (parent.kind, parent.mode) == (FileKind.DIRECTORY, 0o755)


def test_the_mode_does_not_depend_on_the_umask(place: Place) -> None:
    before = os.umask(0o077)
    try:
        place.host.write(place.at("file"), b"", mode=0o666)
        place.host.make_directory(place.at("directory"), mode=0o775)
    finally:
        os.umask(before)
    assert (place.host.stat(place.at("file")) or pytest.fail("missing")).mode == 0o666
    assert (place.host.stat(place.at("directory")) or pytest.fail("missing")).mode == 0o775


def test_owners_are_what_was_asked_for(place: Place) -> None:
    place.host.write(place.at("file"), b"", owner=US, group=OUR_GROUP)
    found = place.host.stat(place.at("file"))
    assert found is not None
    assert (found.owner, found.group) == (US, OUR_GROUP)


def test_replacing_a_file_changes_the_inode_and_overwriting_does_not(place: Place) -> None:
    place.host.write(place.at("file"), b"a long first version")
    first = place.host.stat(place.at("file"))
    place.host.write_in_place(place.at("file"), b"second")
    second = place.host.stat(place.at("file"))
    place.host.write(place.at("file"), b"third")
    third = place.host.stat(place.at("file"))
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.inode == second.inode != third.inode
    assert place.host.read(place.at("file")) == b"third"


def test_overwriting_leaves_nothing_of_the_longer_content(place: Place) -> None:
    place.host.write(place.at("file"), b"a long first version")
    place.host.write_in_place(place.at("file"), b"second")
    assert place.host.read(place.at("file")) == b"second"


def test_overwriting_what_is_missing_makes_it(place: Place) -> None:
    place.host.write_in_place(place.at("file"), b"new")
    assert place.host.read(place.at("file")) == b"new"


def test_nothing_is_left_beside_a_written_file(place: Place) -> None:
    place.host.write(place.at("file"), b"1")
    place.host.write(place.at("file"), b"2")
    place.host.symlink(place.at("link"), "file")
    place.host.symlink(place.at("link"), "other")
    assert place.host.list(place.base) == ("file", "link")


def test_a_missing_file_has_no_stat_and_reading_it_says_so(place: Place) -> None:
    assert place.host.stat(place.at("missing")) is None
    assert place.host.stat(place.at("missing/below")) is None
    for reading in (place.host.read, place.host.list, place.host.read_chunks):
        with pytest.raises(NotFoundError, match="missing"):
            reading(place.at("missing"))


def test_below_a_file_nothing_exists_and_nothing_can_be_made(place: Place) -> None:
    place.host.write(place.at("file"), b"")
    assert place.host.stat(place.at("file/below")) is None
    with pytest.raises(ConflictError):
        place.host.write(place.at("file/below"), b"")


def test_a_file_does_not_replace_a_directory(place: Place) -> None:
    place.host.make_directory(place.at("directory"))
    with pytest.raises(ConflictError):
        place.host.write(place.at("directory"), b"")
    assert place.host.list(place.base) == ("directory",)


def test_names_are_listed_sorted(place: Place) -> None:
    for name in ("b", "a", "c"):
        place.host.write(place.at(f"list/{name}"), b"")
    assert place.host.list(place.at("list")) == ("a", "b", "c")


def test_a_copy_has_the_bytes_and_its_own_mode(place: Place) -> None:
    content = bytes(range(256)) * 5000
    place.host.write(place.at("source"), content)
    place.host.install(place.at("source"), place.at("bin/copy"), mode=0o755)
    found = place.host.stat(place.at("bin/copy"))
    assert found is not None
    assert found.mode == 0o755
    assert place.host.read(place.at("bin/copy")) == content
    with pytest.raises(NotFoundError):
        place.host.install(place.at("missing"), place.at("other"), mode=0o755)


def test_making_a_directory_that_is_there_corrects_its_mode(place: Place) -> None:
    place.host.make_directory(place.at("a/b"), mode=0o700)
    place.host.make_directory(place.at("a/b"), mode=0o711)
    assert (place.host.stat(place.at("a/b")) or pytest.fail("missing")).mode == 0o711
    assert (place.host.stat(place.at("a")) or pytest.fail("missing")).mode == 0o755


def test_a_symlink_is_replaced_but_nothing_else_is(place: Place) -> None:
    place.host.symlink(place.at("link"), "first/../x")
    place.host.symlink(place.at("link"), "/nowhere//second")
    found = place.host.stat(place.at("link"))
    assert found is not None
    assert (found.kind, found.target) == (FileKind.SYMLINK, "/nowhere//second")
    place.host.write(place.at("file"), b"kept")
    with pytest.raises(ConflictError, match="wanted a symlink"):
        place.host.symlink(place.at("file"), "x")
    assert place.host.read(place.at("file")) == b"kept"


def test_reading_follows_symlinks_and_writing_replaces_them(place: Place) -> None:
    place.host.write(place.at("target"), b"old")
    place.host.symlink(place.at("link"), place.at("target"))
    assert place.host.read(place.at("link")) == b"old"
    place.host.write(place.at("link"), b"new")
    assert place.host.read(place.at("target")) == b"old"
    assert (place.host.stat(place.at("link")) or pytest.fail("missing")).kind is FileKind.FILE


def test_a_directory_behind_a_symlink_is_the_directory(place: Place) -> None:
    place.host.make_directory(place.at("real"))
    place.host.symlink(place.at("alias"), place.at("real"))
    place.host.make_directory(place.at("alias"), mode=0o700)
    place.host.write(place.at("alias/sub/file"), b"x")
    assert place.host.read(place.at("real/sub/file")) == b"x"
    assert (place.host.stat(place.at("real")) or pytest.fail("missing")).mode == 0o700
    assert (place.host.stat(place.at("alias")) or pytest.fail("missing")).kind is FileKind.SYMLINK


def test_attributes_change_without_touching_the_content(place: Place) -> None:
    place.host.write(place.at("file"), b"content")
    place.host.set_attributes(place.at("file"), mode=0o600, owner=US)
    found = place.host.stat(place.at("file"))
    assert found is not None
    assert (found.mode, found.owner, found.size_bytes) == (0o600, US, 7)
    with pytest.raises(NotFoundError):
        place.host.set_attributes(place.at("missing"), mode=0o600)


def test_removing_is_quiet_about_what_is_missing_and_refuses_a_full_directory(place: Place) -> None:
    place.host.write(place.at("directory/file"), b"")
    with pytest.raises(ConflictError):
        place.host.remove(place.at("directory"))
    place.host.remove(place.at("directory/file"))
    place.host.remove(place.at("directory"))
    place.host.remove(place.at("directory"))
    assert place.host.stat(place.at("directory")) is None


def test_renaming_replaces_a_file(place: Place) -> None:
    place.host.write(place.at("a"), b"a")
    place.host.write(place.at("b"), b"b")
    place.host.rename(place.at("a"), place.at("b"))
    assert place.host.list(place.base) == ("b",)
    assert place.host.read(place.at("b")) == b"a"
    with pytest.raises(NotFoundError):
        place.host.rename(place.at("a"), place.at("b"))


def test_a_file_comes_in_pieces_of_the_size_asked_for(place: Place) -> None:
    place.host.write(place.at("file"), b"abcdefg")
    assert list(place.host.read_chunks(place.at("file"), size=3)) == [b"abc", b"def", b"g"]


def test_a_library_finds_the_file_at_its_local_path(place: Place) -> None:
    place.host.write(place.at("file"), b"content")
    assert Path(place.host.local_path(place.at("file"))).read_bytes() == b"content"
