"""What only the real machine can show: power cuts, odd file systems, owners."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path

import pytest

from agents.errors import AccessError, NotFoundError, TransientError
from agents.host import atomic
from agents.host.local import LocalHost
from agents.host.os_errors import translate
from agents.host.protocol import FileKind

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_the_leftovers_of_a_dead_writer_are_removed_by_the_next_one(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    leftover = tmp_path / f".file.{dead.pid}-0.node-agents-new"
    others = tmp_path / f".file.{os.getpid()}-999.node-agents-new"
    leftover.write_bytes(b"half")
    others.write_bytes(b"being written by another thread")
    LocalHost().write(str(tmp_path / "file"), b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([others.name, "file"])


def test_when_writing_fails_the_old_file_stays_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def broken_pieces() -> list[bytes]:
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        atomic.durable_write(path, (piece for _ in range(1) for piece in broken_pieces()), mode=0o644)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_a_very_long_name_can_be_written(tmp_path: Path) -> None:
    name = "ü" * 127
    LocalHost().write(str(tmp_path / name), b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_an_unknown_owner_is_not_found_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no user"):
        LocalHost().write(str(tmp_path / "file"), b"", owner="nobody-we-know")
    assert not list(tmp_path.iterdir())


@needs_root
def test_owners_may_be_numbers_without_a_name(tmp_path: Path) -> None:
    LocalHost().write(str(tmp_path / "file"), b"", owner="10012", group="10013")
    found = LocalHost().stat(str(tmp_path / "file"))
    assert found is not None
    assert (found.owner, found.group) == ("10012", "10013")


@needs_root
def test_a_device_node_says_which_device_it_is(tmp_path: Path) -> None:
    os.mknod(tmp_path / "node", stat.S_IFBLK | 0o600, os.makedev(7, 200))
    found = LocalHost().stat(str(tmp_path / "node"))
    assert found is not None
    assert (found.kind, found.rdev) == (FileKind.BLOCK_DEVICE, (7, 200))


@pytest.mark.parametrize(
    ("number", "kind", "hint"),
    [
        (errno.ENOSPC, TransientError, "df -h /etc"),
        (errno.EROFS, AccessError, "read-only"),
        (errno.EACCES, AccessError, "root"),
        (errno.EIO, TransientError, "dmesg"),
    ],
    ids=["full", "read-only", "permission", "broken"],
)
def test_an_error_of_the_machine_says_what_was_wanted_and_what_to_do(number: int, kind: type[Exception], hint: str) -> None:
    error = translate(OSError(number, "?"), wanted="write", path="/etc/hosts")
    assert type(error) is kind
    assert str(error) == f"cannot write /etc/hosts: {os.strerror(number)}"
    assert hint in error.hint


@needs_root
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from agents.errors import TransientError
from agents.host.local import LocalHost
host = LocalHost()
host.write("{tmp_path}/small/file", b"old")
try:
    host.write("{tmp_path}/small/file", b"x" * 4_000_000)
except TransientError as error:
    print(error.code, host.read("{tmp_path}/small/file"), host.list("{tmp_path}/small"))
"""
    (tmp_path / "small").mkdir()
    mount = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size=1m none {tmp_path}/small && exec "$@"', "sh"]
    result = subprocess.run([*mount, "python3", "-c", script], capture_output=True, text=True, check=False)
    if result.returncode != 0 and "mount" in result.stderr:
        pytest.skip(f"mounting is not possible here: {result.stderr}")
    assert result.stdout == "disk-full b'old' ('file',)\n", result.stderr
