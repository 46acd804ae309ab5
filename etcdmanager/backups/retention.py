"""Which backups may go; pure.

    age < 1 h                every backup stays (and every one from the future)
    age < `hourly`           the first of each UTC hour stays
    age < `daily`            the first of each UTC day stays
    older                    none stays
    but always stay          the newest, the newest `keep_verified` that are known good, and all in `protected`

The first four lines are the Go etcd-manager's; the last one is ours: its retention may delete the only good backup.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from etcdmanager.backups.name import BackupName

#: Source: etcd-manager's minimum retention.
KEEP_ALL = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long backups stay."""

    #: Go's default; ETCD_MANAGER_HOURLY_BACKUPS_RETENTION.
    hourly: timedelta = timedelta(days=7)
    #: Go's default, which kops lowers to 90 d; ETCD_MANAGER_DAILY_BACKUPS_RETENTION.
    daily: timedelta = timedelta(days=730)
    #: Rule S6: neither time nor an operator takes the last known good ones away.
    keep_verified: int = 3


def to_delete(
    backups: Collection[BackupName],
    now: datetime,
    keep: Retention,
    *,
    verified: Collection[BackupName] = (),
    protected: Collection[str] = (),
) -> tuple[BackupName, ...]:
    """Return the backups that `keep` no longer asks for, oldest first; never the newest of all.

    `verified` are those known to be good, `protected` names that something refers to: a queued restore, a pin.
    Names that do not parse are never given to us, so they stay.
    """
    ordered = sorted(set(backups))
    stay = _asked_for(ordered, now, keep)
    stay.update(ordered[-1:])
    if keep.keep_verified > 0:
        stay.update(sorted(verified)[-keep.keep_verified :])
    return tuple(backup for backup in ordered if backup not in stay and backup.text not in protected)


def _asked_for(ordered: list[BackupName], now: datetime, keep: Retention) -> set[BackupName]:
    """Return what the hourly and daily rules keep of `ordered`, which is oldest first."""
    stay: set[BackupName] = set()
    hours: set[str] = set()
    days: set[str] = set()
    for backup in ordered:
        age = now - backup.taken_at
        hour, day = f"{backup.taken_at:%Y-%m-%dT%H}", f"{backup.taken_at:%Y-%m-%d}"
        if age < KEEP_ALL:
            stay.add(backup)
        elif age < keep.hourly:
            if hour not in hours:
                stay.add(backup)
            hours.add(hour)
        elif age < keep.daily:
            if day not in days:
                stay.add(backup)
            days.add(day)
    return stay
