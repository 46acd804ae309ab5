"""A second backup store, in another region or account: what it lacks is copied there, and it has a retention of its own.

    round:  whose copy is it? ─► backups, newest first, proven on their way ─► deltas ─► once an hour: retention there

It is responsible for one round at a time; when rounds are, and that they hold nothing up, is `second_store_keeper`. Each round may be cut
off anywhere: a backup without metadata is none, and the next round copies it again. Everything blocks, as a Store does.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.errors import ConflictError, NotFoundError, RefusedError, VerificationError
from etcdmanager.backups.copying import copy_backup, missing_in
from etcdmanager.backups.retention import Retention, to_delete
from etcdmanager.backups.store import BackupStore, Listed
from etcdmanager.deltas.copying import copy_deltas
from etcdmanager.deltas.store import DeltaStore
from etcdmanager.deltas.tidy import tidy

log = logging.getLogger(__name__)

#: Says whose copies these are, so that two clusters that were given one URL by mistake do not delete each other's backups.
COPY_OF = "_copy_of.json"
#: Of each kind in one round: large ones must not keep the deltas waiting, nor a first copy of everything the newest backup.
BACKUPS_PER_ROUND = 2
DELTAS_PER_ROUND = 200
#: A backup that is damaged in the first store would be read in vain each time.
DAMAGED_AGAIN_AFTER = timedelta(hours=6)
_TIDY_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyRound:
    """What one round found and did."""

    #: When the newest backup of the second store was taken, None where it has none.
    newest_at: datetime | None
    #: How far that is behind the newest of the first.
    lag: timedelta
    copied: int
    missing_backups: int
    missing_deltas: int
    #: About backups that cannot be copied; "" where there are none.
    problem: str = ""


def to_copy(ours: Sequence[Listed], theirs: Sequence[Listed], *, now: datetime, keep: Retention) -> tuple[Listed, ...]:
    """Return which backups the second store lacks, newest first; pure. What its own retention would delete at once is left out."""
    missing = missing_in(tuple(ours), tuple(theirs))
    names = [backup.name for backup in (*theirs, *missing) if backup.name is not None]
    unwanted = set(to_delete(names, now, keep))
    wanted = [backup for backup in missing if backup.name is None or backup.name not in unwanted]
    return tuple(sorted(wanted, key=lambda backup: (backup.taken_at, backup.text), reverse=True))


class SecondStore:
    """The copies of one etcd cluster's backups. For one caller at a time."""

    def __init__(self, source: BackupStore, target: BackupStore, *, etcd_cluster: str, keep: Retention) -> None:
        self._source = source
        self._target = target
        self._etcd_cluster = etcd_cluster
        self._keep = keep
        self._is_ours = False
        self._damaged: dict[str, tuple[datetime, str]] = {}
        self._tidied_at: datetime | None = None

    @property
    def url(self) -> str:
        """The URL, for messages."""
        return self._target.url

    def round(self, now: datetime, *, keep_going: Callable[[], None]) -> CopyRound:
        """Copy what is missing, as far as one round goes. `keep_going` raises where nobody waits for it any more.

        RefusedError `copy-store-of-another`; errors of either store as they come.
        """
        self._claim()
        ours = self._source.list()
        theirs = self._target.list()
        self._damaged = {name: found for name, found in self._damaged.items() if now - found[0] < DAMAGED_AGAIN_AFTER}
        wanted = [backup for backup in to_copy(ours, theirs, now=now, keep=self._keep) if backup.text not in self._damaged]
        copied = [backup for backup in wanted[:BACKUPS_PER_ROUND] if self._copy(backup, now, keep_going)]
        keep_going()
        deltas = copy_deltas(
            DeltaStore(self._source.store, self._source.keys),
            DeltaStore(self._target.store, self._target.keys),
            now=now,
            keep=self._keep.hourly,
            at_most=DELTAS_PER_ROUND,
        )
        self._tidy(now)
        newest = max((b.taken_at for b in (*theirs, *copied) if b.size_bytes), default=None)
        newest_of_ours = max((b.taken_at for b in ours if b.size_bytes), default=None)
        behind = newest_of_ours - newest if newest is not None and newest_of_ours is not None else timedelta()
        return CopyRound(
            newest_at=newest,
            lag=max(behind, timedelta()),
            copied=len(copied),
            missing_backups=len(wanted) - len(copied) + len(self._damaged),
            missing_deltas=deltas.missing,
            problem="; ".join(f"{name}: {problem}" for name, (_, problem) in sorted(self._damaged.items())),
        )

    def _claim(self) -> None:
        """Write whose copies these are; RefusedError where they are another cluster's."""
        if self._is_ours:
            return
        ours = {"etcdCluster": self._etcd_cluster, "copyOf": self._source.url}
        try:
            self._target.store.create(COPY_OF, json.dumps(ours).encode())
        except ConflictError:
            found = self._target.store.read(COPY_OF)
            if found != json.dumps(ours).encode():
                raise RefusedError(
                    f"{self.url} holds copies of {found.decode(errors='replace')}, wanted {json.dumps(ours)}; nothing is copied there",
                    code="copy-store-of-another",
                    hint=f"give it a place of its own, or delete {self.url}/{COPY_OF} if the backup store was moved",
                ) from None
        self._is_ours = True

    def _copy(self, backup: Listed, now: datetime, keep_going: Callable[[], None]) -> bool:
        try:
            copied = copy_backup(self._source, self._target, backup.text, keep_going=keep_going)
        except NotFoundError:
            return False  # retention was faster
        except VerificationError as error:
            log.warning("backup %s is not copied: %s", backup.text, error)
            self._damaged[backup.text] = (now, str(error))
            return False
        log.info("copied backup %s to %s: %d bytes", backup.text, self.url, copied.size_bytes)
        return True

    def _tidy(self, now: datetime) -> None:
        """Apply the retention of the second store, at most once an hour."""
        if self._tidied_at is not None and now - self._tidied_at < _TIDY_EVERY:
            return
        self._tidied_at = now
        for name in self._target.orphans():
            self._target.discard_orphan(name)
        for name in self._target.expired(now, self._keep):
            self._target.delete(name)
            log.info("deleted the copy of backup %s in %s: its retention no longer asks for it", name, self.url)
        tidy(DeltaStore(self._target.store, self._target.keys), self._target, now=now, keep=self._keep.hourly)
