"""The leader's lock as a value, and the pure decision whether it may be taken; nothing here reads a clock or a store.

    free / released / expired ──take (epoch + 1)──▶ held ──renew (same epoch)──▶ held
                                                      └──release──▶ released (the epoch stays)

The epoch only ever grows: it is the fence. Every mutating request carries it, followers remember the highest they
have accepted and refuse lower ones, so a leader that was paused and wakes up can change nothing.

Whether another holder's lock has expired is judged by *our own* monotonic clock: the record did not change while we
watched it for a whole lifetime (the habit of Kubernetes' leader election). The clocks of two machines are never compared: one
that boots with a wrong clock would depose a living leader.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

#: How long an unrenewed lock lasts. Shorter, and a slow object store deposes leaders; longer, and repair waits longer.
TTL = timedelta(seconds=15)

#: How often it is renewed: two renewals may be lost before it lapses.
RENEW_EVERY = timedelta(seconds=5)

#: How much longer a manager that reaches less than half of the others leaves the lock to one that may reach more.
RELUCTANCE = timedelta(seconds=10)

#: No mutating action begins with less than this left: an action's own first request has been sent by then.
SAFETY_MARGIN = timedelta(seconds=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRecord:
    """What `_lock.json` says."""

    #: Peer id; "" when it was released.
    holder: str
    #: Random per process, so that a manager that starts again does not take itself for its former self.
    instance: str
    epoch: int
    renewed_at: datetime
    expires_at: datetime
    #: Since when the holder leads; for people.
    acquired_at: datetime
    #: Which data directory the holder manages: of two managers of one id, only one has it. "" was written before this was kept.
    disk: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A record of the store, its version, and since when we have seen it unchanged (seconds of our monotonic clock)."""

    record: LockRecord
    version: str
    seen_since: float


class Verdict(Enum):
    """What may be done with the lock."""

    RENEW = "renew"
    TAKE = "take"
    #: Somebody else holds it.
    LEAVE = "leave"


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """Who asks."""

    id: str
    instance: str
    #: Of the data directory; see LockRecord.
    disk: str = ""


def judge(sighting: Sighting | None, me: Me, *, elapsed: float, reluctance: timedelta = timedelta()) -> Verdict:
    """Return what may be done with the lock as it was seen; None is a lock that nobody ever held.

    Args:
        sighting: the record and since when it has not changed.
        me: who asks.
        elapsed: our monotonic clock, in seconds, comparable with `sighting.seen_since`.
        reluctance: how much longer than needed to leave another's lock to others.
    """
    if sighting is None:
        return Verdict.TAKE
    record = sighting.record
    if record.holder == me.id and record.instance == me.instance:
        return Verdict.RENEW
    # A former life of this very manager: it is gone, or it would hold the data directory that we hold. A twin on another disk may live.
    if record.holder == me.id and record.disk == me.disk:
        return Verdict.TAKE
    unchanged = timedelta(seconds=elapsed - sighting.seen_since)
    if not record.holder:
        return Verdict.TAKE if unchanged >= reluctance else Verdict.LEAVE
    lifetime = record.expires_at - record.renewed_at
    return Verdict.TAKE if unchanged > max(lifetime, TTL) + reluctance else Verdict.LEAVE


def taken(previous: LockRecord | None, me: Me, *, now: datetime, ttl: timedelta = TTL, above: int = 0) -> LockRecord:
    """Return the record that takes the lock: an epoch above any before, and above `above`, which followers have heard of."""
    epoch = max(previous.epoch if previous else 0, above) + 1
    return LockRecord(holder=me.id, instance=me.instance, epoch=epoch, renewed_at=now, expires_at=now + ttl, acquired_at=now, disk=me.disk)


def renewed(record: LockRecord, *, now: datetime, ttl: timedelta = TTL) -> LockRecord:
    """Return the record that keeps the lock under its epoch."""
    return replace(record, renewed_at=now, expires_at=now + ttl)


def released(record: LockRecord, *, now: datetime) -> LockRecord:
    """Return the record that gives the lock up at once; the epoch stays, so that it can only grow."""
    return replace(record, holder="", instance="", disk="", renewed_at=now, expires_at=now)


def is_held_by(record: LockRecord, me: Me) -> bool:
    """Return whether the record names this very process."""
    return record.holder == me.id and record.instance == me.instance
