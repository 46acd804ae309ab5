"""Talking to systemd: readiness, status, watchdog. By systemd-python where the machine has it, else by the protocol's one datagram.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import importlib
import os
import socket
from datetime import timedelta


def notify(state: str) -> bool:
    """Send "READY=1", "STATUS=…", "WATCHDOG=1", "STOPPING=1" (several: one per line); False where nobody listens. Never raises."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    try:
        # By name, because in our own tree the directory systemd/ (our units) would be taken for the package.
        daemon = importlib.import_module("systemd.daemon")
    except ImportError:
        return _send(address, state)
    try:
        return bool(daemon.notify(state))
    except OSError:
        return False


def watchdog_interval() -> timedelta | None:
    """Return after what silence systemd ends us (WatchdogSec=), to be pinged more often than that; None where no watchdog waits for us."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    process = os.environ.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or int(microseconds) == 0 or (process and process != str(os.getpid())):
        return None
    return timedelta(microseconds=int(microseconds))


def stderr_is_journal() -> bool:
    """Return whether stderr goes straight to the journal, which stamps and labels lines itself (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM", "") == f"{found.st_dev}:{found.st_ino}"


def _send(address: str, state: str) -> bool:
    # "@" stands for the NUL of Linux' abstract sockets.
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(5)
            channel.sendto(state.encode(), target)
    except OSError:
        return False
    return True
