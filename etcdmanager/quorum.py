"""How many members must agree, and which changes leave enough of them; arithmetic only.

Raft counts *voters*: a learner neither votes nor counts.
"""

from __future__ import annotations


def quorum(voters: int) -> int:
    """Return how many of `voters` must agree: more than half. Of none, one: an empty cluster agrees on nothing."""
    return voters // 2 + 1


def tolerates(voters: int) -> int:
    """Return how many of `voters` may fail while the others still agree."""
    return max(0, voters - quorum(voters))


def survives_removal(*, voters: int, healthy: int, removes_healthy: bool) -> bool:
    """Return whether a healthy quorum stands *before* and *after* one voter is removed.

    Before, because the removal itself is a raft entry that must be agreed on; after, because what remains
    must go on serving. Removing the last voter is never survived.
    """
    left = voters - 1
    healthy_left = healthy - 1 if removes_healthy else healthy
    return left >= 1 and healthy >= quorum(voters) and healthy_left >= quorum(left)


def survives_restart(*, voters: int, healthy: int, restarts_healthy: bool) -> bool:
    """Return whether a quorum stays healthy while one voter is away for a moment.

    One or two voters can never afford it; then the answer only says that it cannot be done without an outage.
    """
    return healthy - (1 if restarts_healthy else 0) >= quorum(voters)
