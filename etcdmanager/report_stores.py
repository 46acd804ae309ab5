"""What a manager tells of the second backup store, and of backups that wait for the first; pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from agents.status import Waiting
from agents.timestamps import format_timestamp
from etcdmanager.backups.second_store_keeper import CopyNews
from etcdmanager.backups.spool_keeper import SpoolNews

#: A store that was away for a moment is caught up with in the next round.
_COPIES_MAY_PAUSE = timedelta(minutes=5)


def copies_document(copies: CopyNews) -> dict[str, object] | None:
    """Return the part of the status about the second store; None without one."""
    if not copies.url:
        return None
    last = copies.last
    return {
        "url": copies.url,
        "copying": copies.copying,
        "lastRound": format_timestamp(copies.last_at) if copies.last_at is not None else None,
        "newestBackup": format_timestamp(last.newest_at) if last is not None and last.newest_at is not None else None,
        "lagSeconds": last.lag.total_seconds() if last is not None else None,
        "missingBackups": last.missing_backups if last is not None else None,
        "missingDeltas": last.missing_deltas if last is not None else None,
        "problem": copies.problem,
    }


def copies_waiting(copies: CopyNews, now: datetime) -> tuple[Waiting, ...]:
    """Return that the second store lacks something for longer than a moment; nothing where it does not."""
    since = copies.problem_since
    if since is None or now - since < _COPIES_MAY_PAUSE:
        return ()
    reason = f"second-store-{copies.problem_code}: {copies.url} does not have everything: {copies.problem}"
    return (Waiting(reason=reason, since=since, hint="the first store has it all; etcd-manager copy-backups does the same by hand"),)


def spool_document(spool: SpoolNews) -> dict[str, object] | None:
    """Return the part of the status about the spool; None where nothing is ever spooled."""
    if not spool.directory:
        return None
    return {
        "directory": spool.directory,
        "backups": [{"name": one.name, "sizeBytes": one.size_bytes} for one in reversed(spool.spooled)],
        "storeAwaySince": format_timestamp(spool.away_since) if spool.away_since is not None else None,
        "problem": spool.problem,
    }


def spool_waiting(spool: SpoolNews) -> tuple[Waiting, ...]:
    """Return that backups wait here for the store, or cannot even be kept here; nothing where neither is so."""
    since = spool.away_since
    if since is not None and spool.problem:
        reason = f"spool-problem: the store is away, and no backup is kept on this machine: {spool.problem}"
        return (Waiting(reason=reason, since=since, hint="bring the store back"),)
    if not spool.spooled:
        return ()
    names = ", ".join(one.name for one in spool.spooled)
    problem = f": {spool.problem}" if spool.problem else ""
    return (
        Waiting(
            reason=f"backups-spooled: {names} in {spool.directory} wait for the store{problem}",
            since=since or spool.spooled[0].taken_at,
            hint="bring the store back; they are uploaded by themselves",
        ),
    )
