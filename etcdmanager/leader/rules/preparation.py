"""Restored data that lies ready on a member and that no claim speaks of.

A member that was away while a restore was given up still has it, and so has every member whose command somebody deleted. Until
it is dropped, the member refuses to prepare anything else, and each later restore would fail.
"""

from __future__ import annotations

from etcdmanager.leader.actions import DropPreparation
from etcdmanager.leader.view import Peer


def stray_preparation(peers: tuple[Peer, ...], *, expected: str = "") -> DropPreparation | None:
    """Return the order to drop the first preparation for another token than the expected one; None where there is none."""
    stray = min((p for p in peers if p.prepared_token not in {"", expected}), key=lambda p: p.id, default=None)
    return DropPreparation(peer=stray.id, token=stray.prepared_token) if stray is not None else None
