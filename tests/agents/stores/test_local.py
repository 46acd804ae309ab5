"""What a directory store does beyond the contract: crashes, permissions, locks."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

from agents.errors import AccessError, NotFoundError, SpecError, TransientError
from agents.stores import local
from agents.stores.local import LocalStore

ROOT = Path(__file__).resolve().parents[3]


def test_leftovers_of_a_crash_are_not_blobs(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.write("a/b", b"1")
    (tmp_path / "a" / ".partial-0123").write_bytes(b"half a bl")

    assert [entry.key for entry in store.list()] == ["a/b"]
    with pytest.raises(SpecError):
        store.read("a/.partial-0123")


def test_old_leftovers_are_removed_by_the_next_write_and_young_ones_are_not(tmp_path: Path) -> None:
    old, young = tmp_path / ".partial-old", tmp_path / ".partial-young"
    for path in (old, young):
        path.write_bytes(b"half")
    two_days_ago = young.stat().st_mtime - timedelta(days=2).total_seconds()
    os.utime(old, (two_days_ago, two_days_ago))

    LocalStore(tmp_path).write("a", b"1")

    assert not old.exists()
    assert young.exists()


def test_a_large_blob_removes_what_died_in_the_directories_beside_its_own(tmp_path: Path) -> None:
    for name in ("old", "young"):
        LocalStore(tmp_path).write(f"{name}/whole", b"1")
        (tmp_path / name / ".partial-x").write_bytes(b"half")
    two_days_ago = (tmp_path / "young" / ".partial-x").stat().st_mtime - timedelta(days=2).total_seconds()
    os.utime(tmp_path / "old" / ".partial-x", (two_days_ago, two_days_ago))

    LocalStore(tmp_path).write("new/large", iter([b"1", b"2"]))

    assert not (tmp_path / "old" / ".partial-x").exists()
    assert (tmp_path / "young" / ".partial-x").exists()
    assert [entry.key for entry in LocalStore(tmp_path).list()] == ["new/large", "old/whole", "young/whole"]


def test_a_writer_that_is_killed_between_two_pieces_leaves_the_old_blob(tmp_path: Path) -> None:
    LocalStore(tmp_path).write("a", b"old")
    program = f"""
        import os, signal
        from pathlib import Path
        from agents.stores.local import LocalStore
        def pieces():
            yield b"new"
            os.kill(os.getpid(), signal.SIGKILL)
            yield b"never"
        LocalStore(Path({str(tmp_path)!r})).write("a", pieces())
    """

    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, timeout=30, check=False)

    assert ended.returncode == -signal.SIGKILL
    assert LocalStore(tmp_path).read("a") == b"old"
    assert [entry.key for entry in LocalStore(tmp_path).list()] == ["a"]


def test_of_many_processes_exactly_one_creates(tmp_path: Path) -> None:
    program = """
        import sys
        from pathlib import Path
        from agents.errors import ConflictError
        from agents.stores.local import LocalStore
        store, name = LocalStore(Path(sys.argv[1])), sys.argv[2]
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(50):
            try:
                store.create(f"lock/{number}", name.encode())
                print(number)
            except ConflictError:
                pass
    """
    argv = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    processes = [subprocess.Popen([*argv, f"p{n}"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for n in range(4)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        won = [process.communicate(timeout=60)[0].split() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait(timeout=10)

    assert sorted(int(number) for numbers in won for number in numbers) == list(range(50))
    for name, numbers in enumerate(won):
        for number in numbers:
            assert LocalStore(tmp_path).read(f"lock/{number}") == f"p{name}".encode()


def test_nobody_but_the_owner_can_read_a_store(tmp_path: Path) -> None:
    LocalStore(tmp_path / "store").write("pki/private/ca/keyset.yaml", b"key")

    assert (tmp_path / "store" / "pki").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "store/pki/private/ca/keyset.yaml").stat().st_mode & 0o777 == 0o600


def test_a_lock_that_is_not_given_back_ends_in_a_transient_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LOCK_DEADLINE", timedelta(milliseconds=20))
    store = LocalStore(tmp_path)
    store.write("a", b"1")
    holder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        with pytest.raises(TransientError, match="stayed locked"):
            store.write("a", b"2")
    finally:
        os.close(holder)

    assert store.read("a") == b"1"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_is_no_regular_file_is_no_blob(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    store = LocalStore(tmp_path)

    assert store.list() == ()
    assert not store.exists("dangling")
    with pytest.raises(NotFoundError):
        store.stream("directory")


def test_nothing_is_stored_below_a_blob(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.write("a", b"1")

    for write in (store.write, store.create):
        with pytest.raises(SpecError, match="is a blob"):
            write("a/b", b"2")


def test_a_component_that_is_too_long_for_a_file_name_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="too long"):
        LocalStore(tmp_path).write("x" * 256, b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_a_directory_that_may_not_be_read_is_an_access_error(tmp_path: Path) -> None:
    tmp_path.chmod(0)
    try:
        with pytest.raises(AccessError, match="uid"):
            LocalStore(tmp_path).read("a")
    finally:
        tmp_path.chmod(0o700)


def test_a_full_disk_is_transient_and_leaves_the_old_blob(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    program = f"""
        from pathlib import Path
        from agents.errors import TransientError
        from agents.stores.local import LocalStore
        store = LocalStore(Path({str(tmp_path)!r}))
        store.write("a", b"old")
        try:
            store.write("a", (bytes(1 << 16) for _ in range(64)))
        except TransientError as error:
            print(error)
        print(store.read("a"), sorted(p.name for p in Path({str(tmp_path)!r}).iterdir()))
    """
    script = f'mount -t tmpfs -o size=1m none {tmp_path} && exec "$0" -c "$1"'

    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable, textwrap.dedent(program)],
        cwd=ROOT,
        timeout=30,
        check=True,
        capture_output=True,
        text=True,
    )

    assert "No space left on device" in ran.stdout
    assert "b'old' ['a']" in ran.stdout


def test_a_relative_directory_is_refused() -> None:
    with pytest.raises(SpecError, match="relative"):
        LocalStore(Path("state"))
