"""Each member's watch over its spool: whether the store is away, and the steps of `spool_plan`, one after the other."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import assert_never

from agents.clock import Clock
from agents.errors import AgentError
from etcdmanager.backups.spool import Spool
from etcdmanager.backups.spool_plan import Drop, Rest, Spooled, SpoolView, Take, Upload, next_step
from etcdmanager.backups.store import BackupStore

log = logging.getLogger(__name__)

#: One small request each; how much sooner or later a backup is spooled does not matter.
LOOK_EVERY = timedelta(seconds=30)
#: Asked for to learn whether the store answers; it need not exist.
_PROBE = "control/etcd-cluster-created"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolNews:
    """What there is to tell, swapped whole."""

    #: "" where nothing is ever spooled.
    directory: str = ""
    #: Oldest first.
    spooled: tuple[Spooled, ...] = ()
    #: Since when the store does not answer, or takes no backups; None: it does.
    away_since: datetime | None = None
    #: Why the last step failed, or none is taken; "" where all is well.
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    """How it went when this member was asked for backups, by the wall clock; None: it did not happen."""

    #: The first that failed after the last that did not.
    failing_since: datetime | None = None
    failed_at: datetime | None = None

    def after(self, *, failed: bool, now: datetime) -> Uploads:
        """Return what is known after one more."""
        return Uploads(failing_since=self.failing_since or now, failed_at=now) if failed else Uploads()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolWork:
    """What the keeper needs of its member. `take` backs our etcd up into a store, but not one that is cut off from its cluster."""

    take: Callable[[BackupStore], Awaitable[None]]
    #: Of our etcd's database; None while it does not serve.
    db_size: Callable[[], Awaitable[int | None]]
    uploads: Callable[[], Uploads]
    #: Raises where the directory is not ours any more: its volume may go at any moment.
    require_ground: Callable[[], None] = field(default=lambda: None)


class _StoppedError(Exception):
    """Raised in a thread when nobody waits for it any more."""


class SpoolKeeper:
    """Runs until cancelled."""

    def __init__(self, spool: Spool, store: BackupStore, work: SpoolWork, *, directory: str, interval: timedelta, clock: Clock) -> None:
        self._spool = spool
        self._store = store
        self._work = work
        self._interval = interval
        self._clock = clock
        self._away_since: datetime | None = None
        self._stop = threading.Event()
        self.news = SpoolNews(directory=directory)

    async def run(self) -> None:
        """Look and act."""
        try:
            while True:
                did = await self.round()
                await asyncio.sleep(0 if did else LOOK_EVERY.total_seconds())
        finally:
            self._stop.set()

    async def round(self) -> bool:
        """Do one step; return whether there may be another one at once."""
        try:
            view = await self._look()
            step = next_step(view)
            self._tell(view, step.problem if isinstance(step, Rest) else "")
            if isinstance(step, Rest):
                return False
            await self._do(step)
        except AgentError as error:
            if str(error) != self.news.problem:
                log.warning("the spool of backups: %s", error)
            self.news = replace(self.news, problem=str(error))
            return False
        return True

    async def _look(self) -> SpoolView:
        now = self._clock.now()
        answers = await asyncio.to_thread(self._answers)
        self._away_since = None if answers else self._away_since or now
        uploads = self._work.uploads()
        # A failure that is followed by no other: another member was asked, and could.
        failing = uploads.failed_at is not None and now - uploads.failed_at < self._interval
        since = [t for t in (self._away_since, uploads.failing_since if failing else None) if t is not None]
        spooled = await asyncio.to_thread(self._spooled)
        return SpoolView(
            now=now,
            interval=self._interval,
            away_for=now - min(since) if since else None,
            answers=answers,
            spooled=spooled,
            free_bytes=await asyncio.to_thread(self._spool.free_bytes),
            db_size_bytes=await self._work.db_size(),
        )

    async def _do(self, step: Take | Upload | Drop) -> None:
        await asyncio.to_thread(self._work.require_ground)
        match step:
            case Take():
                await asyncio.to_thread(self._spool.sweep)
                await self._work.take(self._spool.backups)
            case Upload(name=name):
                try:
                    await asyncio.to_thread(self._spool.upload, name, self._store, interval=self._interval, keep_going=self._keep_going)
                except _StoppedError:
                    return
            case Drop(name=name, why=why):
                log.warning("dropping backup %s, which waits for the store: %s", name, why)
                await asyncio.to_thread(self._spool.drop, name)
            case _:
                assert_never(step)

    def _answers(self) -> bool:
        try:
            self._store.store.exists(_PROBE)
        except AgentError as error:
            log.debug("the store does not answer: %s", error)
            return False
        return True

    def _spooled(self) -> tuple[Spooled, ...]:
        self._work.require_ground()
        return self._spool.spooled()

    def _keep_going(self) -> None:
        if self._stop.is_set():
            raise _StoppedError
        self._work.require_ground()

    def _tell(self, view: SpoolView, problem: str) -> None:
        if problem and problem != self.news.problem:
            log.warning("the store is away, and no backup is spooled: %s", problem)
        since = view.now - view.away_for if view.away_for is not None else None
        self.news = replace(self.news, spooled=view.spooled, away_since=since, problem=problem)
