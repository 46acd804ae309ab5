"""Which machine this is, and which of its boots: the two things that what nodeup leaves behind is told apart by."""

from __future__ import annotations

import socket

from agents.host.protocol import Host
from agents.host.reading import text_if_there

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def hostname(host: Host) -> str:
    """Return the machine's name: what its kernel says, or where it has none, being a directory, its /etc/hostname."""
    for path in ("/proc/sys/kernel/hostname", "/etc/hostname"):
        named = text_if_there(host, path).strip()
        if named:
            return named
    return socket.gethostname()


def boot_id(host: Host) -> str:
    """Return what the kernel calls this boot; "" below a directory."""
    return text_if_there(host, BOOT_ID).strip()
