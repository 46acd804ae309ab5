from __future__ import annotations

from pathlib import Path

from nodeup.unpacked import old_copies, own_copy, remove_old_copies

OWN, OLD, OLDER = "0123456789abcdef", "fedcba9876543210", "00000000000000aa"


def a_copy(directory: Path, name: str) -> Path:
    home = directory / name
    (home / "site/nodeup").mkdir(parents=True)
    (home / "site/nodeup/__init__.py").touch()
    (home / "lib").mkdir()
    (home / "lib/ld-linux.so").touch()
    (home / ".complete").touch()
    return home


def a_process(proc: Path, pid: int, program: Path) -> None:
    (proc / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "exe").symlink_to(program)


def test_old_copies_go_and_those_that_run_stay(tmp_path: Path) -> None:
    agents, proc = tmp_path / "agents", tmp_path / "proc"
    own, old, older = (a_copy(agents, name) for name in (OWN, OLD, OLDER))
    (agents / f"{OLD}.77").mkdir()
    (agents / f"{OLD}.78").mkdir()
    (agents / "somebody's").mkdir()
    a_process(proc, 1, Path("/usr/lib/systemd/systemd"))
    a_process(proc, 42, older / "lib/ld-linux.so")
    a_process(proc, 78, Path("/usr/bin/tar"))
    (proc / "self").mkdir()

    gone = remove_old_copies(own, proc)

    assert gone == (OLD, f"{OLD}.77")
    assert {path.name for path in agents.iterdir()} == {OWN, OLDER, f"{OLD}.78", "somebody's"}
    assert (own / "lib/ld-linux.so").exists()
    assert not old.exists()


def test_the_copy_that_runs_is_known_from_its_modules(tmp_path: Path) -> None:
    home = a_copy(tmp_path / "agents", OWN)

    assert own_copy(str(home / "site/nodeup/__init__.py")) == home


def test_a_checkout_is_no_copy(tmp_path: Path) -> None:
    import nodeup

    home = a_copy(tmp_path / "elsewhere", OWN)

    assert own_copy(str(nodeup.__file__)) is None
    assert own_copy(str(home / "site/nodeup/__init__.py")) is None


def test_only_what_is_named_as_a_copy_is_one() -> None:
    assert old_copies(["x", OWN, OLD, f"{OLDER}.1", f"{OLDER}-old"], own=OWN, in_use=[]) == (f"{OLDER}.1", OLD)
