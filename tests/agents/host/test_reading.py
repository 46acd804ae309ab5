"""Reading what may not be there."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.errors import NotFoundError
from agents.host.reading import files_below, names_if_there, text_if_there, text_of
from agents.host.rooted import RootedHost


@pytest.fixture
def host(tmp_path: Path) -> RootedHost:
    for path in ("etc/one", "etc/a/two", "etc/a/b/three"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"caf\xe9\n")
    (tmp_path / "etc/link").symlink_to("one")
    (tmp_path / "etc/around").symlink_to(".")
    return RootedHost(tmp_path)


def test_text_is_text_whatever_the_bytes(host: RootedHost) -> None:
    assert text_of(host, "/etc/one") == "caf\ufffd\n"


def test_what_is_not_there_has_no_text_and_no_names(host: RootedHost) -> None:
    assert text_if_there(host, "/etc/none") == ""
    assert names_if_there(host, "/none") == ()
    assert names_if_there(host, "/etc/a") == ("b", "two")
    with pytest.raises(NotFoundError):
        text_of(host, "/etc/none")


def test_files_below_are_regular_files_as_deep_as_asked_and_no_link_is_followed(host: RootedHost) -> None:
    assert sorted(files_below(host, "/etc", depth=1)) == ["/etc/a/two", "/etc/one"]
    assert sorted(files_below(host, "/etc", depth=5)) == ["/etc/a/b/three", "/etc/a/two", "/etc/one"]
    assert list(files_below(host, "/none", depth=5)) == []
