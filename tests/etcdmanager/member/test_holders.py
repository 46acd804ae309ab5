"""Who is taken for another owner of our data, and who is not."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from etcdmanager.member.holders import FileLock, Holder, flag_of, holders_of, is_manager_of, listeners_at, locks_in, managers_of

GO_FLAGS = ("--backup-store=s3://b/main", "--client-urls=https://__name__:4001", "--cluster-name=etcd", "--v=6")

MANAGERS: dict[str, tuple[tuple[str, ...], bool]] = {
    "kops' own": (("/ko-app/etcd-manager", *GO_FLAGS), True),
    "what runs it in kops' pod": (("/go-runner", "--log-file=/var/log/etcd.log", "--also-stdout", "/ko-app/etcd-manager", *GO_FLAGS), True),
    "an older one, with the flag in two words": (("/etcd-manager", "-cluster-name", "etcd"), True),
    "that of another etcd cluster": (("/ko-app/etcd-manager", "--cluster-name=etcd-events"), False),
    "our service": (("/usr/bin/python3", "/opt/kops/bin/etcd-manager", "run", "--config=/etc/node-agents/etcd-manager-main.yaml"), False),
    "an operator's command": (("/usr/bin/python3", "/opt/kops/bin/etcd-manager", "status", "--cluster-name=etcd"), False),
    "etcd-manager-ctl": (("/ko-app/etcd-manager-ctl", "--cluster-name=etcd"), False),
    "who looks for it": (("grep", "etcd-manager"), False),
    "etcd": (("/opt/etcd-v3.5.31/etcd",), False),
    "a kernel thread": ((), False),
}


@pytest.mark.parametrize("name", MANAGERS)
def test_a_manager_of_kops_is(name: str) -> None:
    arguments, expected = MANAGERS[name]
    assert is_manager_of(arguments, "etcd") is expected


def test_flags_are_read_by_gos_rules() -> None:
    assert flag_of(("-a=1", "--b", "2", "--c"), "a") == "1"
    assert flag_of(("-a=1", "--b", "2", "--c"), "b") == "2"
    assert flag_of(("-a=1", "--b", "2", "--c"), "c") == ""
    assert flag_of(("a=1",), "a") == ""


def test_only_listeners_that_exclude_ours_are_in_the_way() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (holder,) = listeners_at((f"https://127.0.0.1:{port}",))
        assert (holder.pid, holder.does) == (os.getpid(), f"listens at 127.0.0.1 port {port}")
        assert listeners_at((f"https://0.0.0.0:{port}", "https://127.0.0.1:1"))
        assert listeners_at((f"https://127.0.0.2:{port}", f"https://[::1]:{port}", f"https://name:{port}", "https://127.0.0.1:1")) == ()
    assert listeners_at((f"https://127.0.0.1:{port}",)) == ()


def test_only_locks_for_writing_that_are_held_by_a_known_process_count() -> None:
    text = (
        "1: FLOCK  ADVISORY  WRITE 4711 fe:01:131105 0 EOF\n"
        "1: -> FLOCK  ADVISORY  WRITE 4712 fe:01:131105 0 EOF\n"
        "2: OFDLCK ADVISORY  WRITE -1 fe:01:131106 0 EOF\n"
        "3: POSIX  ADVISORY  READ  4713 fe:01:131107 0 EOF\n"
        "4: FLOCK  ADVISORY  WRITE 0 fe:01:131108 0 EOF\n"
        "nonsense\n"
    )
    assert locks_in(text) == (FileLock(4711, (0xFE, 1), 131105),)


def database(directory: Path) -> Path:
    path = directory / "data/T1/member/snap/db"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    return path


def test_whoever_has_a_database_locked_is_named_and_a_reader_is_not(tmp_path: Path) -> None:
    path = database(tmp_path)
    with path.open("rb") as file:
        assert holders_of(f"{tmp_path}/data") == ()
        fcntl.flock(file, fcntl.LOCK_EX)
        (holder,) = holders_of(f"{tmp_path}/data")
        assert holder.pid == os.getpid()
        assert str(holder).endswith(f"(process {os.getpid()}) has {path} locked")
        assert holders_of(f"{tmp_path}/data", but={os.getpid()}) == ()
        assert holders_of(f"{tmp_path}/elsewhere") == ()
    assert holders_of(f"{tmp_path}/data") == ()


def test_a_restore_that_is_being_prepared_is_nobodys_data_yet(tmp_path: Path) -> None:
    path = database(tmp_path)
    (tmp_path / "data/T1").rename(tmp_path / "data/.incoming-T1")
    with (tmp_path / "data/.incoming-T1" / path.relative_to(tmp_path / "data/T1")).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert holders_of(f"{tmp_path}/data") == ()


def found_manager(directory: Path, *flags: str, run_inside: str = "") -> tuple[Holder, ...]:
    """Run a program with kops' name and these flags; return the managers that are seen beside it."""
    program = directory / "etcd-manager"
    program.write_text(f"#!{sys.executable}\nimport sys\n{run_inside}\nprint('runs', flush=True)\nsys.stdin.read()\n")
    program.chmod(0o755)
    with subprocess.Popen([program, "--cluster-name=made-up", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = managers_of("made-up", str(directory))
        assert all(one.pid == process.pid for one in found)
        process.communicate(b"")
    return found


def test_a_manager_with_a_volume_provider_is_an_owner(tmp_path: Path) -> None:
    assert len(found_manager(tmp_path, "--volume-provider=aws")) == 1
    assert managers_of("made-up", str(tmp_path)) == ()


def test_a_manager_with_a_data_directory_is_one_only_of_that(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert len(found_manager(tmp_path, f"--data-dir={tmp_path}/../{tmp_path.name}")) == 1
    assert found_manager(tmp_path, f"--data-dir={tmp_path}/other") == ()


def test_a_manager_of_ours_with_gos_flags_is_none(tmp_path: Path) -> None:
    assert found_manager(tmp_path, run_inside=f"held = open({str(tmp_path / 'manager.lock')!r}, 'w')") == ()
