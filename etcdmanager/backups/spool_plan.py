"""What to do with backups that wait on this machine because the store is away; pure.

    store away for a while ──take, every interval──► spooled, newest 3 ──store is back──► uploaded under their names ──► dropped here

Nobody leads while the store is away (decision 0007), so each member decides for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from etcdmanager.backups.manifest import Manifest

#: How many are kept: three, as many as retention always leaves (rule S6).
NEWEST = 3
#: How long the store must have been away, or have taken no backup of ours: what passes sooner, the leading manager makes up for.
AWAY_FOR = timedelta(minutes=5)
#: What must stay free beside the spool, in databases: a restore needs as much (rule S10), and etcd must never lack room for a backup.
_FREE_DATABASES = 2.5
#: What taking one needs for a moment besides: a copy to open it, and the compressed one, which is smaller at most times.
_TAKING_DATABASES = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """A whole backup that waits here."""

    name: str
    taken_at: datetime
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolView:
    """What the next step is decided on."""

    now: datetime
    interval: timedelta
    #: How long the store has not answered, or taken no backup that was asked of this member; None: all is well.
    away_for: timedelta | None
    #: Whether the store answers at this moment.
    answers: bool
    #: Oldest first.
    spooled: tuple[Spooled, ...]
    #: On the spool's file system.
    free_bytes: int
    #: Of our etcd; None where it does not serve.
    db_size_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Nothing is to be done; why no backup is taken although the store is away, "" where none is due."""

    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """Take a backup into the spool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Bring one to the store, then drop it."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Delete one that there is no room for."""

    name: str
    why: str


Step = Rest | Take | Upload | Drop


def next_step(view: SpoolView) -> Step:
    """Return what to do next. The newest one is dropped only where not even one database's size is free."""
    too_many = _to_drop(view)
    if too_many is not None:
        return too_many
    if view.spooled and view.answers:
        return Upload(name=view.spooled[-1].name)
    if view.away_for is None or view.away_for < min(AWAY_FOR, view.interval) or not _is_due(view):
        return Rest()
    if view.db_size_bytes is None:
        return Rest(problem="our etcd does not serve")
    wanted = int((_FREE_DATABASES + _TAKING_DATABASES) * view.db_size_bytes)
    if view.free_bytes < wanted:
        return Rest(problem=f"{view.free_bytes >> 20} MiB are free, wanted {wanted >> 20} MiB")
    return Take()


def is_covered(spooled: Manifest, stored: Sequence[Manifest], *, interval: timedelta) -> bool:
    """Return whether the store has a verified backup of the same cluster of about the same time: another member's, most likely."""
    return any(
        other.verified and other.cluster_id == spooled.cluster_id and abs(other.taken_at - spooled.taken_at) <= interval / 2
        for other in stored
    )


def _to_drop(view: SpoolView) -> Drop | None:
    """Return the oldest one where there are too many, or too little room; None where all may stay."""
    spooled, size = view.spooled, view.db_size_bytes or 0
    if len(spooled) > NEWEST:
        return Drop(name=spooled[0].name, why=f"{NEWEST} newer ones are kept")
    keep_free = _FREE_DATABASES * size if len(spooled) > 1 else size
    if spooled and view.free_bytes < keep_free:
        return Drop(name=spooled[0].name, why=f"only {view.free_bytes >> 20} MiB are free")
    return None


def _is_due(view: SpoolView) -> bool:
    """Return whether the last one is an interval old; one from the future says nothing about when it was taken."""
    if not view.spooled:
        return True
    age = view.now - view.spooled[-1].taken_at
    return age >= view.interval or age < timedelta()
