"""The task that keeps stepping the lock: renewing while we lead, watching while we do not."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from agents.errors import AgentError
from etcdmanager.leadership.claim import RENEW_EVERY
from etcdmanager.leadership.lock import LeaderLock

log = logging.getLogger(__name__)

#: How often a manager that does not lead looks at the lock: a released one is taken that soon. One small read each.
WATCH_EVERY = timedelta(seconds=3)


async def keep_lock(lock: LeaderLock) -> None:
    """Step the lock until cancelled. A store that is away is told once, and again when it is back."""
    problem = ""
    while True:
        try:
            await asyncio.to_thread(lock.step)
            if problem:
                log.info("the control store answers again")
            problem = ""
        except AgentError as error:
            if not problem:
                log.warning("the leader's lock cannot be read or renewed (%s): %s", error.code, error)
            problem = str(error)
        await asyncio.sleep((RENEW_EVERY if lock.lease is not None and not problem else WATCH_EVERY).total_seconds())
