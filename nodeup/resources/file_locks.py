"""Who holds a file of the machine locked: what package managers do to their databases, as /proc/locks tells."""

from __future__ import annotations

from dataclasses import dataclass

from agents.errors import AccessError, ConflictError, NotFoundError
from agents.host.protocol import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process with a lock."""

    pid: int
    #: Its command line, shortened; "" where it has ended since.
    command: str
    path: str

    def __str__(self) -> str:
        """Return "unattended-upgrade --download (process 4711)"."""
        return f"{self.command or 'a process that has ended since'} (process {self.pid})"


def holder_of(host: Host, paths: tuple[str, ...]) -> Holder | None:
    """Return who holds the first of these files that is locked for writing; None where none is, or where that cannot be told.

    Source: proc(5), /proc/locks: "1: POSIX  ADVISORY  WRITE 4711 08:01:131105 0 EOF"; device numbers in hexadecimal.
    """
    locks = _write_locks(host)
    for path in paths:
        stat = host.stat(path)
        if stat is None:
            continue
        for pid, device, inode in locks:
            # btrfs and overlays show another device in /proc/locks than stat says: there an open descriptor has to do.
            if inode == stat.inode and (device == stat.device or _has_open(host, pid, path)):
                return Holder(pid=pid, command=_command(host, pid), path=path)
    return None


def _write_locks(host: Host) -> tuple[tuple[int, tuple[int, int], int], ...]:
    try:
        lines = host.read("/proc/locks").decode(errors="replace").splitlines()
    except (NotFoundError, AccessError):
        return ()
    found = []
    for line in lines:
        words = line.split()
        # "1: -> POSIX …" is one that waits.
        if len(words) < 6 or words[1] == "->" or words[3] != "WRITE":
            continue
        major, minor, inode = words[5].split(":")
        found.append((int(words[4]), (int(major, 16), int(minor, 16)), int(inode)))
    return tuple(found)


def _has_open(host: Host, pid: int, path: str) -> bool:
    directory = f"/proc/{pid}/fd"
    try:
        names = host.list(directory)
    except (NotFoundError, AccessError, ConflictError):
        return False
    return any(stat is not None and stat.target == path for stat in (host.stat(f"{directory}/{name}") for name in names))


def _command(host: Host, pid: int) -> str:
    try:
        words = host.read(f"/proc/{pid}/cmdline").decode(errors="replace").split("\0")
        return " ".join(word for word in words if word)[:80] or host.read(f"/proc/{pid}/comm").decode(errors="replace").strip()
    except (NotFoundError, AccessError):
        return ""
