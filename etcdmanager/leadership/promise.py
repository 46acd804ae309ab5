"""What lets a leader go on repairing membership while the store is away, and keeps everybody else's hands off meanwhile. Pure.

    leader of epoch E, store away ──"promise me 10 s"──▶ managers ──▶ a majority promised: repair, within those 10 s
    leader of epoch E+1 (the store proves it) ──▶ manager: accepts at once, but tells how long it is still promised to E

Two majorities share a manager. Whoever has accepted E+1 promises E nothing more, and E+1 changes no membership before the
promises that it was told of are over; so the two never act at the same time (decision 0005). Durations are measured by each
manager's own clock from when the message came, which is after it was sent: a promise never ends early.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta

from etcdmanager.etcd.answers import Member
from etcdmanager.quorum import quorum

#: How long one acknowledgement lasts. It must cover a look at the cluster and one change; doubled, a new leader waits twice as long.
PROMISE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """What one manager has promised: (epoch, until when), in seconds of its monotonic clock. Kept in memory only."""

    made: tuple[tuple[int, float], ...] = ()

    def with_one(self, epoch: int, duration: timedelta, *, now: float) -> Promises:
        """Return the promises after one more; none lasts longer than PROMISE, and those that are over are forgotten."""
        until = now + min(duration, PROMISE).total_seconds()
        kept = tuple((e, u) for e, u in self.made if u > now and (e != epoch or u > until))
        return Promises(made=(*kept, (epoch, until)) if duration > timedelta() else kept)

    def left(self, epoch: int, *, now: float) -> timedelta:
        """Return for how long this manager is still promised to another epoch than `epoch`."""
        return timedelta(seconds=max((until - now for e, until in self.made if e != epoch and until > now), default=0.0))


def forgotten(*, now: float) -> Promises:
    """Return what a manager must assume that started just now and may have promised anything in its former life."""
    return Promises(made=((0, now + PROMISE.total_seconds()),))


def have_majority(members: Iterable[Member], managers: Collection[str]) -> bool:
    """Return whether `managers` are those of more than half of etcd's voters; a voter without a name counts, and has no manager."""
    voters = [m.name for m in members if not m.is_learner]
    return sum(1 for name in voters if name and name in managers) >= quorum(len(voters))
