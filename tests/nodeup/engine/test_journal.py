from __future__ import annotations

import os
from pathlib import Path

import pytest

from agents.errors import NotFoundError
from agents.host.rooted import RootedHost
from nodeup.engine.journal import DIGESTS, Digests, Journal
from tests.fakes.host import FakeHost

HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def test_an_action_is_pending_from_its_begin_to_its_end_for_every_later_run() -> None:
    host = FakeHost()
    Journal(host).begin("file:/a", "a command")

    assert Journal(host).is_pending("file:/a")
    assert not Journal(host).is_pending("file:/b")
    Journal(host).end("file:/a")

    assert not Journal(host).is_pending("file:/a")


def test_actions_on_what_is_not_planned_any_more_are_forgotten() -> None:
    host = FakeHost()
    journal = Journal(host)
    journal.forget_others([])
    journal.begin("file:/a", "x")
    journal.begin("file:/b", "x")

    journal.forget_others(["file:/a", "file:/c"])

    assert journal.is_pending("file:/a")
    assert not journal.is_pending("file:/b")


def old(host: RootedHost, path: str) -> None:
    """Let a file's time be long ago, so that its digest is remembered."""
    os.utime(host.local_path(path), ns=(10**18, 10**18))


@pytest.fixture
def host(tmp_path: Path) -> RootedHost:
    host = RootedHost(tmp_path)
    host.write("/a", b"hello")
    old(host, "/a")
    return host


def test_a_digest_is_remembered_while_the_file_stays(host: RootedHost) -> None:
    first = Digests(host)
    assert first.digest("/a") == HELLO
    first.save()
    Path(host.local_path("/a")).write_bytes(b"other")  # the same size, in place
    old(host, "/a")

    assert Digests(host).digest("/a") == HELLO, "this is what trusting means"
    assert Digests(host, trusting=False).digest("/a") != HELLO


def test_a_file_that_was_replaced_is_read_again(host: RootedHost) -> None:
    first = Digests(host)
    first.digest("/a")
    first.save()
    host.write("/a", b"other")
    old(host, "/a")

    assert Digests(host).digest("/a") != HELLO


def test_a_file_that_changed_just_now_is_not_remembered(host: RootedHost) -> None:
    host.write("/a", b"hello")
    digests = Digests(host)
    digests.digest("/a")
    digests.save()

    assert host.stat(DIGESTS) is None


def test_symlinks_are_followed(host: RootedHost) -> None:
    host.symlink("/dir/b", "../a")

    assert Digests(host).digest("/dir/b") == HELLO


def test_what_does_not_exist_has_no_digest(host: RootedHost) -> None:
    with pytest.raises(NotFoundError):
        Digests(host).digest("/nothing")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"/a": [1]}', b'{"/a": ["x", 1, 1, "y"]}'])
def test_a_damaged_memory_is_no_memory(host: RootedHost, content: bytes) -> None:
    host.write(DIGESTS, content)

    assert Digests(host).digest("/a") == HELLO
