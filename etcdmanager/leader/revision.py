"""How far a restore raises the revision, so that every watch of the data before it notices; pure.

A watch is resumed at the revision that its client saw last. Where the restored cluster is not above it, the watch waits for
changes that it believes to be in the future, and nobody is told. One billion above the backup is not enough for that: after a
first restore, what clients saw is above a billion already.
"""

from __future__ import annotations

#: Far above anything written between the last look and the fence, far below 2**63. The rule of thumb of the etcd project is a billion.
BUMP = 1_000_000_000


def bump_above(highest: int) -> int:
    """Return what to add to a backup's revision: a multiple of BUMP, at least half of one above the `highest` revision known."""
    return (highest + BUMP // 2) // BUMP * BUMP + BUMP
