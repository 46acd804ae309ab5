"""Holding the leader's lock in the control store: one step at a time, by conditional writes.

`_lock.json` lies in the control store beside Go's documents, where Go ignores it. `LeaderLock.step()` is called every few
seconds by the loop that owns it; it reads or writes once and never waits or retries.

**When the store is away** nothing can be renewed: the leadership lapses by our own clock after TTL, and until the store is
back nobody takes it. Each manager goes on supervising its own etcd (restarts it, renews its certificates), and etcd itself
serves and elects without us. What pauses is what needs the store: backups, restores, formations, changes of what is wanted.
Membership is still repaired by who held the lock last (`orphaned`), under the same epoch and by its peers' acknowledgement
(`etcdmanager.leadership.promise`, decision 0005).

**Fencing.** `remaining()` counts from *before* the renewal was sent, on a clock that also runs while the machine is
suspended. `require()` refuses to begin anything with less than SAFETY_MARGIN left. A process that is paused longer than that
finds its lease over when it wakes, and what it may still have in flight carries an epoch that followers refuse once
they have accepted a higher one.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agents.documents import as_int, as_mapping, as_str, load_json
from agents.errors import AgentError, ConflictError, NotFoundError, SpecError, TransientError
from agents.stores.protocol import Store
from etcdmanager.leadership.claim import (
    SAFETY_MARGIN,
    TTL,
    LockRecord,
    Me,
    Sighting,
    Verdict,
    is_held_by,
    judge,
    released,
    renewed,
    taken,
)

log = logging.getLogger(__name__)

#: Below control/. Go lists this directory and reads only what it knows the name of.
LOCK_KEY = "_lock.json"


def boot_clock() -> float:
    """Return seconds since boot, suspended time included; CLOCK_MONOTONIC stands still while a machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A leadership as it stands: under this epoch, until then by our monotonic clock (seconds)."""

    epoch: int
    valid_until: float
    acquired_at: datetime


class LeaderLock:
    """The lock as one process sees it. Not for use by several tasks at once."""

    def __init__(
        self,
        control: Store,
        me: Me,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        elapsed: Callable[[], float] = boot_clock,
        ttl: timedelta = TTL,
        reluctance: Callable[[], timedelta | None] = timedelta,
    ) -> None:
        """`reluctance` says how much longer than needed the lock is left to others at this moment: they may reach more peers than we.

        While it says None, no lease is valid, and the lock is given back: a manager of another kind leads, without a lock.
        """
        self._control = control
        self._me = me
        self._now = now
        self._elapsed = elapsed
        self._ttl = ttl
        self._sighting: Sighting | None = None
        self._lease: Lease | None = None
        self._above = 0
        self._reluctance = reluctance
        self._abstains_until = 0.0
        self._store_is_away = False

    @property
    def lease(self) -> Lease | None:
        """Return the leadership that is valid at this moment, None without one."""
        now = self._elapsed()
        if now < self._abstains_until or self._reluctance() is None or (self._lease is not None and now >= self._lease.valid_until):
            return None
        return self._lease

    @property
    def seen(self) -> LockRecord | None:
        """Return the record as last read or written, whoever holds it."""
        return self._sighting.record if self._sighting else None

    @property
    def orphaned(self) -> int | None:
        """Return the epoch that was ours when the store went away: only its peers can still acknowledge it. None in all other cases."""
        seen = self._sighting
        if not self._store_is_away or seen is None or not is_held_by(seen.record, self._me):
            return None
        return seen.record.epoch if seen.record.epoch > self._above and self._elapsed() >= self._abstains_until else None

    def remaining(self) -> timedelta:
        """Return how long the leadership is still valid; zero without one."""
        lease = self.lease
        return timedelta(seconds=lease.valid_until - self._elapsed()) if lease else timedelta()

    def require(self, epoch: int) -> timedelta:
        """Return the time that is left to act under `epoch`; TransientError where that is not enough, or it is another epoch."""
        lease = self.lease
        if lease is None or lease.epoch != epoch:
            raise TransientError(f"the leadership of epoch {epoch} is over; nothing was begun", code="leadership-over")
        left = self.remaining()
        if left < SAFETY_MARGIN:
            raise TransientError(
                f"the leadership of epoch {epoch} ends in {left.total_seconds():.1f} s; nothing was begun", code="leadership-ending"
            )
        return left

    def outgrow(self, epoch: int) -> None:
        """Give the present lease up, and have the next `step` take an epoch above `epoch`, which a follower has accepted before.

        Needed where the lock record was lost with the control store: it begins again at one, and nobody would follow.
        """
        self._above = max(self._above, epoch)
        self._lease = None

    def step(self) -> Lease | None:
        """Take, renew or leave the lock, whichever is right now, and return the leadership that then holds.

        Errors of the store are passed on; a lease that is still valid stays valid. Losing a conditional write is no
        error: someone else was faster, or our own last write did arrive although its answer did not.
        """
        try:
            lease = self._step()
        except SpecError:
            self._store_is_away = False
            raise
        except AgentError:
            self._store_is_away = True
            raise
        self._store_is_away = False
        return lease

    def _step(self) -> Lease | None:
        if self._lease is None or self.lease is None:
            self._look()
        record = self._sighting.record if self._sighting else None
        began = self._elapsed()
        reluctance = self._reluctance()
        if began < self._abstains_until or reluctance is None:
            self._give_back()
            return None
        verdict = judge(self._sighting, self._me, elapsed=began, reluctance=reluctance)
        match verdict:
            case Verdict.LEAVE:
                self._lease = None
            case Verdict.TAKE:
                self._write(taken(record, self._me, now=self._now(), ttl=self._ttl, above=self._above), began)
            case Verdict.RENEW:
                # Our own record found again after our lease lapsed is taken under a new epoch: followers may have heard others since.
                if record is not None and self.lease is not None:
                    self._write(renewed(record, now=self._now(), ttl=self._ttl), began)
                else:
                    self._write(taken(record, self._me, now=self._now(), ttl=self._ttl, above=self._above), began)
        return self.lease

    def release(self) -> None:
        """Give the lock up, so that another manager need not wait for it to expire; nothing happens without it."""
        if self.lease is not None:
            self._give_back()

    def _give_back(self) -> None:
        """Write that nobody holds the lock, where the record is ours."""
        self._lease = None
        if self._sighting is None or not is_held_by(self._sighting.record, self._me):
            return
        record = released(self._sighting.record, now=self._now())
        try:
            version = self._control.replace_if_unchanged(LOCK_KEY, encode(record), self._sighting.version)
        except ConflictError:
            log.info("the lock had changed before it was released")
            return
        self._sighting = Sighting(record=record, version=version, seen_since=self._elapsed())

    def abstain(self, pause: timedelta) -> None:
        """Lead no longer, and do not take the lock for `pause`: another manager may do better with it. The next `step` releases it."""
        self._abstains_until = self._elapsed() + pause.total_seconds()

    def _look(self) -> None:
        """Read the record; an unchanged version keeps the time since when it was first seen."""
        try:
            versioned = self._control.read_versioned(LOCK_KEY)
        except NotFoundError:
            self._sighting = None
            return
        if self._sighting is None or self._sighting.version != versioned.version:
            self._sighting = Sighting(record=decode(versioned.content), version=versioned.version, seen_since=self._elapsed())

    def _write(self, record: LockRecord, began: float) -> None:
        """Write `record` if the store still holds what we judged; our lease then counts from before the write."""
        content = encode(record)
        try:
            if self._sighting is None:
                version = self._control.create(LOCK_KEY, content)
            else:
                version = self._control.replace_if_unchanged(LOCK_KEY, content, self._sighting.version)
        except ConflictError:
            self._lease = None
            self._look()
            self._recognise(record, began)
            return
        self._hold(record, version, began)

    def _recognise(self, record: LockRecord, began: float) -> None:
        """Hold the lock after all where the conflict is with our own write, whose answer an SDK's retry had lost."""
        seen = self._sighting
        if seen is not None and is_held_by(seen.record, self._me) and seen.record == record:
            self._hold(record, seen.version, began)

    def _hold(self, record: LockRecord, version: str, began: float) -> None:
        """Remember that the store holds our record."""
        if self._lease is None or self._lease.epoch != record.epoch:
            log.info("leading under epoch %d", record.epoch)
        self._sighting = Sighting(record=record, version=version, seen_since=began)
        self._lease = Lease(epoch=record.epoch, valid_until=began + self._ttl.total_seconds(), acquired_at=record.acquired_at)


def encode(record: LockRecord) -> bytes:
    """Return `_lock.json`."""
    document = {
        "holder": record.holder,
        "instance": record.instance,
        "epoch": record.epoch,
        "renewedAt": record.renewed_at.isoformat(),
        "expiresAt": record.expires_at.isoformat(),
        "acquiredAt": record.acquired_at.isoformat(),
        "disk": record.disk,
    }
    return json.dumps(document).encode()


def decode(content: bytes) -> LockRecord:
    """Return what `_lock.json` says; SpecError where it is damaged, which only an operator may decide to delete."""
    document = as_mapping(load_json(content, where=LOCK_KEY), where=LOCK_KEY)
    try:
        return LockRecord(
            holder=as_str(document.get("holder", ""), where=f"{LOCK_KEY}: holder"),
            instance=as_str(document.get("instance", ""), where=f"{LOCK_KEY}: instance"),
            epoch=as_int(document.get("epoch"), where=f"{LOCK_KEY}: epoch"),
            renewed_at=datetime.fromisoformat(as_str(document.get("renewedAt"), where=f"{LOCK_KEY}: renewedAt")),
            expires_at=datetime.fromisoformat(as_str(document.get("expiresAt"), where=f"{LOCK_KEY}: expiresAt")),
            acquired_at=datetime.fromisoformat(as_str(document.get("acquiredAt"), where=f"{LOCK_KEY}: acquiredAt")),
            disk=as_str(document.get("disk", ""), where=f"{LOCK_KEY}: disk"),
        )
    except ValueError as error:
        raise SpecError(f"{LOCK_KEY} holds a time that cannot be read: {error}", hint="delete it when no manager runs") from error
