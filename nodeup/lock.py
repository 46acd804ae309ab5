"""One apply at a time: a lock that the kernel releases when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.clock import Clock
from agents.errors import BusyError
from agents.host.os_errors import os_errors
from agents.host.protocol import Host
from agents.timestamps import format_timestamp

LOCK = "/run/node-agents/nodeup.lock"


@contextmanager
def apply_lock(host: Host, clock: Clock) -> Iterator[None]:
    """Hold the lock; BusyError, which names the holder and since when, where another process has it."""
    path = Path(host.local_path(LOCK))
    with os_errors("lock", str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            raise BusyError(f"nodeup is already at work on this machine: {holder}", hint="see `nodeup status`") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}, since {format_timestamp(clock.now())}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def is_locked(host: Host) -> bool:
    """Whether some process holds the lock now; without it, a status that says "running" is of one that died.

    The kernel's list of locks is read: to try the lock would, for that moment, refuse it to an apply that begins.
    """
    try:
        found = Path(host.local_path(LOCK)).stat()
        locks = Path("/proc/locks").read_text()
    except OSError:
        return False
    ours = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    return any("FLOCK" in words and ours in words and "->" not in words for words in map(str.split, locks.splitlines()))
