"""Which processes of this machine are etcds on our data: read from /proc. It ends nothing and starts nothing."""

from __future__ import annotations

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
    """Return the etcds whose data directory lies below `data_root`, by pid. It walks all of /proc: for start-up only."""
    found = (inspect(int(entry.name)) for entry in _PROC.iterdir() if entry.name.isdigit())
    ours = [item for item in found if item is not None and item.data_dir.startswith(data_root.rstrip("/") + "/")]
    return tuple(sorted((item for item in ours if Path(item.executable).name == "etcd"), key=lambda item: item.pid))
