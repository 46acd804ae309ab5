"""The kernel's mount table as values; pure. Source: proc_pid_mountinfo(5)."""

from __future__ import annotations

import re

from protokube.volumes.view import Mounted

PATH = "/proc/self/mountinfo"
_ESCAPE = re.compile(r"\\([0-7]{3})")


def parse_mounts(text: str) -> tuple[Mounted, ...]:
    """Return the mounts in the order in which they were made; of those at one path the last covers the others."""
    mounts = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if len(fields) < 6 or len(rest) < 3:
            continue
        major, _, minor = fields[2].partition(":")
        mounts.append(
            Mounted(
                path=_unescaped(fields[4]),
                number=(int(major), int(minor)),
                filesystem=rest[0],
                # A file system that gave up after an error says so in its own options, not in those of the mount.
                read_only="ro" in fields[5].split(",") or "ro" in rest[2].split(","),
                root=_unescaped(fields[3]),
            )
        )
    return tuple(mounts)


def _unescaped(path: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), path)
