"""Telling whoever watches how far a restore is: `_progress.json`, written rarely enough for an object store.

It is for people; nothing decides by it, and failing to write it fails nothing.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from types import MappingProxyType

from agents.errors import AgentError
from etcdmanager.control.commands import Claim, MemberProgress, Progress
from etcdmanager.control.store import ControlStore
from etcdmanager.peering.client import OnProgress
from etcdmanager.peering.messages import Progress as PeerProgress

log = logging.getLogger(__name__)

#: Seconds between two writes; the bar of a person who watches moves once a second.
EVERY_SECONDS = 1.0

#: Where each phase begins on the bar from 0 to 1; preparing is by far the longest.
_BEGINS = MappingProxyType(
    {"queued": 0.0, "prepare": 0.02, "save": 0.6, "fence": 0.75, "commit": 0.8, "verify": 0.88, "open": 0.94, "done": 1.0}
)


class ProgressReport:
    """The progress of one restore. Kept by the executor; a new leader begins a new one."""

    def __init__(self, control: ControlStore, claim: Claim) -> None:
        self._control = control
        self._command = claim.command
        self._phase = "queued"
        self._began: dict[str, datetime] = {}
        self._took: dict[str, float] = {}
        self._members: dict[str, MemberProgress] = {}
        self._fraction = 0.0
        self._changed = asyncio.Event()

    @property
    def command(self) -> str:
        """Return the command that this is about."""
        return self._command

    @property
    def took(self) -> dict[str, float]:
        """Return the seconds that each finished phase took."""
        return dict(self._took)

    async def enter(self, phase: str, now: datetime, message: str = "") -> None:
        """Note that a phase begins (the one before ends), and write that at once."""
        if phase != self._phase:
            began = self._began.get(self._phase)
            if began is not None:
                self._took[self._phase] = (now - began).total_seconds()
            self._phase = phase
            self._began[phase] = now
            self._members.clear()
        self._fraction = max(self._fraction, _BEGINS.get(phase, 0.0))
        await self._write(now, message)

    def of(self, peer_id: str) -> OnProgress:
        """Return what a member's news are to be given to; `keep_writing` writes them."""

        def note(news: PeerProgress) -> None:
            self._members[peer_id] = MemberProgress(step=news.stage, done=news.done_bytes, total=news.total_bytes)
            self._changed.set()

        return note

    async def keep_writing(self) -> None:
        """Write what changed about once a second, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._advance()
            await self._write(datetime.now().astimezone(), "")
            await asyncio.sleep(EVERY_SECONDS)

    def _advance(self) -> None:
        """Move the bar within the present phase by what the members have done."""
        phases = list(_BEGINS)
        begin = _BEGINS.get(self._phase, 0.0)
        end = _BEGINS[phases[min(phases.index(self._phase) + 1, len(phases) - 1)]]
        shares = [m.done / m.total for m in self._members.values() if m.total]
        if shares:
            self._fraction = max(self._fraction, begin + (end - begin) * min(shares))

    async def _write(self, now: datetime, message: str) -> None:
        progress = Progress(
            phase=self._phase,
            updated_at=now,
            fraction=min(1.0, self._fraction),
            message=message,
            members=MappingProxyType(dict(self._members)),
            took=MappingProxyType(dict(self._took)),
        )
        try:
            await asyncio.to_thread(self._control.write_progress, self._command, progress)
        except AgentError as error:
            log.warning("progress of %s is not told: %s", self._command, error)
