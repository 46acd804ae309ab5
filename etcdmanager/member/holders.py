"""Who else is on our data: another manager of this etcd cluster, its etcd, whoever holds etcd's files locked or listens at its ports.

On a node that kops' own nodeup made, the Go program runs in a pod and its etcd out of the same volume; kubelet takes up to a
minute to end them. Until then nothing on the data directory may be changed, and no etcd started. This file only looks; what
follows from it is decided in `etcdmanager.member.step` and `etcdmanager.former_owner`.

What tells a holder, in the order of certainty:

    a file lock     etcd locks member/snap/db and its logs for as long as it runs; /proc/locks has the file and the process
    ETCD_DATA_DIR   an etcd that was just started has no lock yet; the directory is compared as the process sees it
    a command line  Go's manager opens no file there, and would start its etcd again

Readers (an operator's cp, a backup program) lock nothing, and are none.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from etcdmanager.identity import LOCK_FILE
from etcdmanager.member import proc
from etcdmanager.member.proc import FoundProcess

_PROGRAM = "etcd-manager"
_LONGEST_COMMAND = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that stands in our way; `does` completes a sentence that begins with it."""

    pid: int
    command: str
    does: str

    def __str__(self) -> str:
        """Return "/opt/etcd/etcd (process 4711) has /mnt/…/member/snap/db locked"."""
        who = f"{self.command} (process {self.pid})" if self.pid else "a process that cannot be seen from here"
        return f"{who} {self.does}"


@dataclass(frozen=True, slots=True)
class FileLock:
    """A lock for writing, as /proc/locks has it: which process made it, on which file."""

    pid: int
    device: tuple[int, int]
    inode: int


def is_manager_of(arguments: Sequence[str], cluster_name: str) -> bool:
    """Return whether this is a command line of kops' etcd-manager, or of what runs it, for this etcd cluster; pure.

    Ours has a verb after its name (`etcd-manager run --config=…`), and is kept away by the lock of the data directory.
    """
    for index, word in enumerate(arguments):
        flags = arguments[index + 1 :]
        if word.rpartition("/")[2] == _PROGRAM and flags and flags[0].startswith("-"):
            return flag_of(flags, "cluster-name") == cluster_name
    return False


def flag_of(arguments: Sequence[str], name: str) -> str:
    """Return a flag's value by Go's rules: one dash or two, with "=" or in the next word; "" where it is not given."""
    for index, word in enumerate(arguments):
        given, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and given == name:
            return value if equals else next(iter(arguments[index + 1 : index + 2]), "")
    return ""


def locks_in(text: str) -> tuple[FileLock, ...]:
    """Return the locks for writing of known processes in the text of /proc/locks; pure. One that waits ("->") holds nothing.

    Source: proc(5): "1: FLOCK  ADVISORY  WRITE 4711 08:01:131105 0 EOF", device numbers in hexadecimal. The locks of etcd's logs
    name no process (-1); that of its database does.
    """
    found = []
    for row in map(str.split, text.splitlines()):
        if len(row) > 5 and row[3] == "WRITE" and row[4].isdigit() and row[4] != "0":
            major, minor, inode = row[5].split(":")
            found.append(FileLock(int(row[4]), (int(major, 16), int(minor, 16)), int(inode)))
    return tuple(found)


def managers_of(cluster_name: str, data_dir: str) -> tuple[Holder, ...]:
    """Return the managers of kops' that run here for this etcd cluster; not ourselves, and not what runs us.

    One that was given a data directory which is not ours (several managers on one machine, in a test) is none.
    """
    ours = frozenset(_ancestors(os.getpid()))
    found = []
    for pid in proc.pids():
        words = proc.arguments(pid)
        if pid in ours or not is_manager_of(words, cluster_name):
            continue
        given = flag_of(words, "data-dir")
        if (not given or proc.identity(proc.seen_by(pid, given)) == proc.identity(data_dir)) and not _is_one_of_ours(pid):
            found.append(Holder(pid=pid, command=_command(words), does=f"manages etcd cluster {cluster_name}"))
    return tuple(found)


def holders_of(data_root: str, *, but: Collection[int] = ()) -> tuple[Holder, ...]:
    """Return who is on the data directories in `data_root`, besides the processes `but` and etcds that we may adopt."""
    etcds = proc.find_etcds(data_root)
    passed = {*but, *(etcd.pid for etcd in etcds if not is_anothers(etcd))}
    found = {etcd.pid: Holder(pid=etcd.pid, command=etcd.executable, does=f"runs on {data_root}") for etcd in etcds}
    found |= {holder.pid: holder for holder in _lockers(data_root)}
    return tuple(holder for pid, holder in sorted(found.items()) if pid not in passed)


def listeners_at(urls: Collection[str]) -> tuple[Holder, ...]:
    """Return who listens already where a process that is given these URLs would."""
    import psutil

    wanted = [(parts.hostname or "", parts.port) for parts in map(urlsplit, urls)]
    try:
        sockets = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return ()
    found = []
    for one in sockets:
        if one.status != psutil.CONN_LISTEN or not one.laddr:
            continue
        if any(port == one.laddr.port and _overlap(one.laddr.ip, host) for host, port in wanted):
            does = f"listens at {one.laddr.ip} port {one.laddr.port}"
            found.append(Holder(pid=one.pid or 0, command=_command(proc.arguments(one.pid or 0)), does=does))
    return tuple(found)


def is_anothers(etcd: FoundProcess) -> bool:
    """Return whether an etcd is somebody else's: in a container, or the child of a living manager of kops'.

    One that a former life of ours left behind is neither, and is adopted.
    """
    above = proc.parent(etcd.pid)
    if above is not None and above not in _ancestors(os.getpid()) and _is_manager(proc.arguments(above)) and not _is_one_of_ours(above):
        return True
    root = proc.identity(proc.seen_by(etcd.pid, "/"))
    return root is not None and root != proc.identity("/")


def _is_manager(arguments: Sequence[str]) -> bool:
    return any(word.rpartition("/")[2] == _PROGRAM for word in arguments[:2])


def _is_one_of_ours(pid: int) -> bool:
    """Return whether a manager is of this project: it has the lock of its data directory open."""
    directory = Path(f"/proc/{pid}/fd")
    try:
        return any(entry.readlink().name == LOCK_FILE for entry in directory.iterdir())
    except OSError:
        return False


def _ancestors(pid: int) -> Iterator[int]:
    above: int | None = pid
    while above:
        yield above
        above = proc.parent(above)


def _lockers(data_root: str) -> Iterator[Holder]:
    """Yield who has a database in `data_root` locked. Names with a dot are our own preparations of a restore.

    Overlays and btrfs show another device in /proc/locks than stat does: there, who has the file open decides.
    """
    try:
        locks = locks_in(Path("/proc/locks").read_text(encoding="ascii"))
    except OSError:
        return
    for path in Path(data_root).glob("[!.]*/member/snap/db"):
        found = proc.identity(str(path))
        for lock in locks:
            if found is None or lock.inode != found[1]:
                continue
            device = (os.major(found[0]), os.minor(found[0]))
            if lock.device == device or found in proc.open_files(lock.pid):
                yield Holder(pid=lock.pid, command=_command(proc.arguments(lock.pid)), does=f"has {path} locked")


def _overlap(one: str, other: str) -> bool:
    """Return whether two listeners at one port exclude each other. In doubt not: etcd finds it out by itself, and says so.

    A name is none of ours (etcd takes no names there); a listener at "::" may leave IPv4 free.
    """
    try:
        left, right = ipaddress.ip_address(one), ipaddress.ip_address(other)
    except ValueError:
        return False
    return left.version == right.version and (left == right or left.is_unspecified or right.is_unspecified)


def _command(arguments: Sequence[str]) -> str:
    return " ".join(arguments)[:_LONGEST_COMMAND] or "a process that has ended since"
