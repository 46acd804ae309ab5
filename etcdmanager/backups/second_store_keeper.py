"""When the second store is looked after: every minute while we lead, in a thread of its own, failing nothing but itself."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agents.clock import Clock
from agents.errors import AgentError
from etcdmanager.backups.second_store import CopyRound, SecondStore

log = logging.getLogger(__name__)

#: How far copies of deltas are behind at most, where nothing is wrong. A round lists both stores.
ROUND_EVERY = timedelta(minutes=1)
#: While a first copy of everything is under way.
_MORE_TO_DO = timedelta(seconds=5)
#: How soon a new leader begins, and how often others look whether they lead.
_FOLLOWING = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyNews:
    """What there is to tell, swapped whole."""

    #: "" where there is no second store.
    url: str = ""
    #: Whether we are the one who copies.
    copying: bool = False
    #: The last round that went well, and when.
    last: CopyRound | None = None
    last_at: datetime | None = None
    #: What is wrong now, and since when; "" for nothing.
    problem: str = ""
    problem_code: str = ""
    problem_since: datetime | None = None


class _StoppedError(Exception):
    """Raised in the thread when nobody waits for it any more."""


class SecondStoreKeeper:
    """Runs until cancelled. `open_second` opens the store, at the first round: its errors are told, and end nothing."""

    def __init__(self, *, url: str, open_second: Callable[[], SecondStore], leading: Callable[[], bool], clock: Clock) -> None:
        self._open_second = open_second
        self._leading = leading
        self._clock = clock
        self._second: SecondStore | None = None
        self._stop = threading.Event()
        self.news = CopyNews(url=url)

    async def run(self) -> None:
        """Copy while we lead."""
        try:
            while True:  # noqa: ASYNC110  the loop's own rhythm
                await asyncio.sleep((await self.round()).total_seconds())
        finally:
            self._stop.set()

    async def round(self) -> timedelta:
        """Do one round and return how long to wait before the next."""
        if not self._leading():
            if self.news.copying:
                self.news = CopyNews(url=self.news.url)
            return _FOLLOWING
        now = self._clock.now()
        try:
            done = await asyncio.to_thread(self._round, now)
        except _StoppedError:
            return _FOLLOWING
        except AgentError as error:
            self._tell_problem(str(error), error.code, now)
            return ROUND_EVERY
        self.news = replace(self.news, copying=True, last=done, last_at=self._clock.now())
        self._tell_problem(done.problem, "copy-damaged" if done.problem else "", now)
        return _MORE_TO_DO if done.copied and (done.missing_backups or done.missing_deltas) else ROUND_EVERY

    def _round(self, now: datetime) -> CopyRound:
        if self._second is None:
            self._second = self._open_second()
        return self._second.round(now, keep_going=self._keep_going)

    def _keep_going(self) -> None:
        if self._stop.is_set() or not self._leading():
            raise _StoppedError

    def _tell_problem(self, problem: str, code: str, now: datetime) -> None:
        if problem and problem != self.news.problem:
            log.warning("the second store %s does not have everything (%s): %s", self.news.url, code, problem)
        since = (self.news.problem_since or now) if problem else None
        self.news = replace(self.news, copying=True, problem=problem, problem_code=code, problem_since=since)
