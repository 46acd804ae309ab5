"""Which replaced data directories may be deleted. Pure.

The trash is the last copy of what a restore or a stop replaced, so it is bounded, never emptied: the newest few stay, and
the newest of all stays whatever the disk says. Without a bound a loop of failed restores filled volumes (B-29).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

#: How many replaced data directories stay. Each restore makes one; three cover a restore, its undo and a second try.
KEEP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashEntry:
    """One replaced data directory. Its modification time is that of its making: the move into the trash does not change it."""

    name: str
    modified_ns: int
    size_bytes: int


def to_delete(entries: Collection[TrashEntry], *, keep: int = KEEP, free_bytes: int, free_bytes_wanted: int) -> tuple[TrashEntry, ...]:
    """Return what may go, oldest first: everything beyond the newest `keep`, and more while less than `free_bytes_wanted` is free.

    Never the newest, however little room there is.
    """
    oldest_first = sorted(entries, key=lambda entry: (entry.modified_ns, entry.name))
    beyond = max(0, len(oldest_first) - max(1, keep))
    doomed = list(oldest_first[:beyond])
    free = free_bytes + sum(entry.size_bytes for entry in doomed)
    for entry in oldest_first[beyond:-1]:
        if free >= free_bytes_wanted:
            break
        doomed.append(entry)
        free += entry.size_bytes
    return tuple(doomed)


def free_name(token: str, taken: Collection[str]) -> str:
    """Return the name for a data directory in the trash: its token, with a number if that is taken already."""
    if token not in taken:
        return token
    number = 1
    while f"{token}-{number}" in taken:
        number += 1
    return f"{token}-{number}"


def bare_token(name: str) -> str:
    """Return the cluster token that `free_name` made this name from; a token that ends like a number comes back shorter."""
    return re.sub(r"-\d+$", "", name)
