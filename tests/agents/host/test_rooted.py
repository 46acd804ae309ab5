"""What only a directory that stands for a machine does."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from agents.errors import RefusedError, SpecError
from agents.host.rooted import RootedHost


def test_absolute_symlinks_stay_inside(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"outside")
    host = RootedHost(tmp_path / "root")
    host.symlink("/escape", str(tmp_path))
    host.symlink("/up", "../../../..")
    host.write("/escape/outside", b"inside")
    host.write("/up/outside", b"inside, too")
    assert (tmp_path / "outside").read_bytes() == b"outside"
    assert host.read("/outside") == b"inside, too"


def test_a_symlink_loop_is_an_error(tmp_path: Path) -> None:
    host = RootedHost(tmp_path)
    host.symlink("/a", "/b")
    host.symlink("/b", "/a")
    with pytest.raises(SpecError, match="too many symlinks"):
        host.read("/a")


def test_a_relative_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="absolute"):
        RootedHost(tmp_path).read("etc/hosts")


def test_commands_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="systemctl daemon-reload"):
        RootedHost(tmp_path).run(["systemctl", "daemon-reload"], timeout=timedelta(seconds=1))


def test_owners_that_only_the_rendered_machine_knows_are_remembered(tmp_path: Path) -> None:
    host = RootedHost(tmp_path)
    host.write("/srv/file", b"", owner="kube-apiserver-healthcheck", group="nobody-we-know")
    host.rename("/srv/file", "/srv/moved")
    found = host.stat("/srv/moved")
    assert found is not None
    assert (found.owner, found.group) == ("kube-apiserver-healthcheck", "nobody-we-know")
    assert host.owners == {"/srv/moved": ("kube-apiserver-healthcheck", "nobody-we-know")}
