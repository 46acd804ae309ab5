"""A witness that writes down what the leader does, in the background: what it does is neither delayed by it nor fails because of it.

Events wait in a queue of bounded length while the store is away; of too many the oldest are lost, and that is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from agents.errors import AgentError, TransientError
from etcdmanager.control.history import Event, History
from etcdmanager.leader import actions as a
from etcdmanager.leader.deeds import deed
from etcdmanager.leader.view import ClusterView

log = logging.getLogger(__name__)

#: A restore of five members is thirty events; nothing else comes in bursts.
_AT_MOST = 200
#: Before a store that was away is tried again.
_RETRY_AFTER = timedelta(seconds=10)
#: How often days that are too old are deleted.
_FORGET_EVERY = timedelta(days=1)


class Recorder:
    """The leading manager's pen. `is_leader` says whether this manager leads now: only then are old days forgotten."""

    def __init__(
        self, history: History, me: str, *, is_leader: Callable[[], bool], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._history = history
        self._me = me
        self._is_leader = is_leader
        self._now = now
        self._waiting: deque[Event] = deque()
        self._news = asyncio.Event()
        self._forgotten_at: datetime | None = None
        self._last: tuple[str, str, int] | None = None

    def leads(self, epoch: int) -> None:
        """Note that this manager leads now."""
        self._note("leadership", f"{self._me} leads", epoch)

    def leads_no_longer(self, epoch: int) -> None:
        """Note that another one leads, or nobody."""
        self._note("leadership", f"{self._me} leads no longer", epoch)

    def done(self, rule: str, action: a.Action, view: ClusterView, took: timedelta) -> None:
        """Note an action that was carried out, if it is worth a line."""
        del rule, took
        found = deed(action, view)
        if found is not None:
            self._note(*found, view.epoch)

    def failed(self, rule: str, error: AgentError) -> None:
        """Note nothing: what does not work is in status while it does not."""

    def _note(self, what: str, text: str, epoch: int) -> None:
        if (what, text, epoch) == self._last:
            return  # The same again: a step that is repeated until it holds.
        self._last = (what, text, epoch)
        if len(self._waiting) >= _AT_MOST:
            lost = self._waiting.popleft()
            log.warning("%s (%s) is lost to the history: %d events wait for the store", lost.what, lost.text, _AT_MOST)
        self._waiting.append(Event(at=self._now(), by=f"{self._me} (epoch {epoch})", what=what, text=text))
        self._news.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            self._news.clear()
            pause = await self.write_waiting()
            try:
                async with asyncio.timeout(pause.total_seconds()):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def write_waiting(self) -> timedelta:
        """Write what waits, and forget old days; return when to look again although nothing new is noted."""
        while self._waiting:
            event = self._waiting[0]
            try:
                await asyncio.to_thread(self._history.append, event)
            except TransientError as error:
                log.debug("the history waits for the store: %s", error)
                return _RETRY_AFTER
            except AgentError as error:
                log.warning("%s (%s) could not be written to the history: %s", event.what, event.text, error)
            # It may have been pushed out meanwhile.
            if self._waiting and self._waiting[0] is event:
                self._waiting.popleft()
        await self._forget()
        return _FORGET_EVERY

    async def _forget(self) -> None:
        now = self._now()
        if not self._is_leader() or (self._forgotten_at is not None and now - self._forgotten_at < _FORGET_EVERY):
            return
        self._forgotten_at = now
        try:
            await asyncio.to_thread(self._history.forget, now)
        except AgentError as error:
            log.warning("days of the history that are too old stay: %s", error)
