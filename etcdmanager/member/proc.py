"""Which processes of this machine are etcds on our data: read from /proc. It ends nothing and starts nothing.

Whether any of them is somebody else's is told by `etcdmanager.member.holders`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundProcess:
    """One process. `start_ticks` tells it from a later one with the same pid."""

    pid: int
    start_ticks: int
    executable: str
    data_dir: str


def boot_id() -> str:
    """Return the kernel's name for this boot; pids of another boot mean nothing."""
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None where there is none, or only a zombie of it."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command's name is in parentheses and may itself hold some; after the last one the fields are plain.
    fields = text.rpartition(")")[2].split()
    return None if not fields or fields[0] in {"Z", "X"} else int(fields[19])


def inspect(pid: int) -> FoundProcess | None:
    """Return a process that has ETCD_DATA_DIR in its environment; None for any other, and for one that we may not look at."""
    ticks = start_ticks(pid)
    if ticks is None:
        return None
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
        executable = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
    except OSError:
        return None
    for entry in environment:
        name, _, value = entry.partition(b"=")
        if name == b"ETCD_DATA_DIR":
            return FoundProcess(pid=pid, start_ticks=ticks, executable=executable, data_dir=value.decode(errors="replace"))
    return None


def find_etcds(data_root: str) -> tuple[FoundProcess, ...]:
    """Return the etcds whose data directory lies in `data_root`, by pid. It walks all of /proc: for start-up only.

    Directories are compared, not paths: an etcd in a container sees ours below /rootfs.
    """
    root = identity(data_root)
    found = (inspect(pid) for pid in pids())
    etcds = (item for item in found if item is not None and Path(item.executable).name == "etcd" and item.data_dir)
    ours = [item for item in etcds if root is not None and identity(seen_by(item.pid, str(Path(item.data_dir).parent))) == root]
    return tuple(sorted(ours, key=lambda item: item.pid))


def pids() -> tuple[int, ...]:
    """Return the processes of this moment."""
    return tuple(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def arguments(pid: int) -> tuple[str, ...]:
    """Return a process' command line; empty for one that is gone, and for a kernel thread."""
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return ()
    return tuple(word.decode(errors="replace") for word in words if word)


def parent(pid: int) -> int | None:
    """Return the parent's pid; None for a process that is gone, and for one whose parent is not seen from here."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return int(fields[1]) or None if len(fields) > 1 else None


def seen_by(pid: int, path: str) -> str:
    """Return where a path of a process leads, whatever its root directory and its mounts are."""
    return f"{_PROC}/{pid}/{'root' if path.startswith('/') else 'cwd'}/{path.lstrip('/')}"


def identity(path: str) -> tuple[int, int] | None:
    """Return what a file or directory is under any of its paths: device and inode; None where it cannot be looked at."""
    try:
        found = os.stat(path)  # noqa: PTH116  a magic link of /proc, which pathlib would take for a path
    except OSError:
        return None
    return found.st_dev, found.st_ino


def open_files(pid: int) -> tuple[tuple[int, int], ...]:
    """Return the identities of the files that a process has open; empty where it is gone, or may not be looked at."""
    directory = _PROC / str(pid) / "fd"
    try:
        names = os.listdir(directory)  # noqa: PTH208  names are enough
    except OSError:
        return ()
    return tuple(found for name in names if (found := identity(f"{directory}/{name}")) is not None)
