"""Looking at file systems: space, inodes, and whether they can be written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agents.diagnosis import attempt
from agents.host.protocol import Host
from agents.host.reading import text_of
from nodeup.doctor.looking.reading import said
from nodeup.doctor.view import DiskView, Filesystem

#: What a node writes to.
DIRECTORIES = ("/", "/var", "/etc", "/run", "/tmp", "/var/lib/containerd", "/var/lib/kubelet", "/var/log", "/var/cache/nodeup")  # noqa: S108


def look_at_disk(host: Host) -> DiskView:
    """Return the view; Flatcar's read-only /usr is none of the directories that we write to."""
    present = tuple(path for path in DIRECTORIES if host.stat(path) is not None)
    return DiskView(filesystems=attempt(lambda: _filesystems(host, present)), read_only=attempt(lambda: tuple(_read_only(host, present))))


def _filesystems(host: Host, paths: Iterable[str]) -> tuple[Filesystem, ...]:
    """Return each file system once. df's exit status is of its worst argument; what it says of the others holds."""
    columns = "target,size,avail,itotal,iavail"
    rows = [line.rsplit(None, 4) for line in said(host, ["df", "-B1", f"--output={columns}", *paths], may_fail=True).splitlines()[1:]]
    found = {
        row[0]: Filesystem(
            mount_point=row[0],
            size_bytes=_number(row[1]),
            available_bytes=_number(row[2]),
            inodes=_number(row[3]),
            available_inodes=_number(row[4]),
        )
        for row in rows
        if len(row) == 5
    }
    if not found:
        raise ValueError("df showed nothing")
    return tuple(found.values())


def _number(cell: str) -> int:
    """Return a cell of df; "-" where the file system has no such number."""
    return int(cell) if cell.isdigit() else 0


def _read_only(host: Host, paths: Iterable[str]) -> Iterator[str]:
    # Not mountinfo's own flags: after an error the kernel makes the file system read-only, not the mount.
    flags = dict(_mount_flags(text_of(host, "/proc/self/mounts")))
    for path in paths:
        place = path
        while place not in flags and place != "/":
            place = place.rpartition("/")[0] or "/"
        if "ro" in flags.get(place, ()):
            yield path


def _mount_flags(table: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for line in table.splitlines():
        fields = line.split(" ")
        if len(fields) >= 4:
            yield fields[1].replace("\\040", " "), tuple(fields[3].split(","))
