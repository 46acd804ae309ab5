"""Whether a cluster's backups are as they should be, for monitoring from outside; pure.

Judged is what would be restored from: the newest *verified* backup. One that nobody proved, or that a manager with a wrong clock dated
into the future, makes nothing good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from agents.durations import format_age

#: As in `backups/store.py`: clocks of healthy machines are nearer to one another.
_FUTURE = timedelta(hours=1)


class Level(IntEnum):
    """How bad it is, by the numbers that monitoring plugins exit with."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A backup, as far as judging needs it."""

    name: str
    taken_at: datetime
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer, with what it rests on."""

    level: Level
    message: str
    #: Of the newest verified backup; None where there is none.
    age: timedelta | None


def verdict(backups: Sequence[Seen], *, told_at: datetime | None, now: datetime, max_age: timedelta, stale_after: timedelta) -> Verdict:
    """Judge backups, in any order. `told_at` is the leading manager's last sign of life in the store, None where there never was one.

    CRITICAL: no verified backup of the last `max_age`. WARNING: there is one, but the newest of all is not verified or is from the
    future, or no manager has told anything for `stale_after`: the next backup will not come.
    """
    past = [backup for backup in backups if backup.taken_at <= now + _FUTURE]
    good = max((backup for backup in past if backup.verified), key=lambda backup: backup.taken_at, default=None)
    if good is None:
        found = f"none of {len(backups)} backups is verified" if backups else "there are no backups"
        return Verdict(level=Level.CRITICAL, message=found, age=None)
    age = max(now - good.taken_at, timedelta(0))
    told = f"{good.name} is verified and {format_age(age)} old"
    if age > max_age:
        return Verdict(level=Level.CRITICAL, message=f"{told}, wanted at most {format_age(max_age)}", age=age)
    worries = []
    if len(past) < len(backups):
        worries.append(f"{len(backups) - len(past)} are dated into the future")
    newest = max(past, key=lambda backup: backup.taken_at)
    if newest.taken_at > good.taken_at:
        worries.append(f"the newest, {newest.name}, is not verified")
    if told_at is None or now - told_at > stale_after:
        worries.append("no manager leads" if told_at is None else f"the leading manager was last heard of {format_age(now - told_at)} ago")
    if worries:
        return Verdict(level=Level.WARNING, message=f"{told}, but {'; '.join(worries)}", age=age)
    return Verdict(level=Level.OK, message=told, age=age)
