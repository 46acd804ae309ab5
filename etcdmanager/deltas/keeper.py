"""The deltas of one manager: collected from a member that serves while we lead, and tidied once an hour."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from datetime import timedelta

from agents.clock import Clock
from agents.errors import AgentError
from etcdmanager.control.commands import BackupRequest
from etcdmanager.deltas.collect import DeltaCollector, DeltaNews
from etcdmanager.deltas.store import DeltaStore
from etcdmanager.deltas.tidy import tidy
from etcdmanager.etcd.client import EtcdClient
from etcdmanager.leader.group import Surroundings
from etcdmanager.leader.view import ClusterView

log = logging.getLogger(__name__)

_TIDY_EVERY = timedelta(hours=1)


class DeltaKeeper:
    """Runs until cancelled. `view` returns what the leader saw last, None while we do not lead."""

    def __init__(self, around: Surroundings, *, view: Callable[[], ClusterView | None], clock: Clock, keep: timedelta) -> None:
        self._around = around
        self._view = view
        self._clock = clock
        self._keep = keep
        self._deltas = DeltaStore(around.backups.store, around.backups.keys)
        self._collector = DeltaCollector(self._deltas, around.backups, etcd=self._source, ask_full=self._ask_full, clock=clock)

    @property
    def news(self) -> DeltaNews:
        """What there is to tell."""
        return self._collector.news

    async def run(self) -> None:
        """Collect and tidy."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._collector.run())
            tasks.create_task(self._tidy())

    def _source(self) -> EtcdClient | None:
        """Return the client of the member to watch: our own where it serves, else the first that does; None while we do not lead."""
        view = self._view()
        if view is None:
            return None
        serving = [peer for peer in view.peers if peer.serves and not peer.quarantined]
        peer = next((peer for peer in serving if peer.id == self._around.me), serving[0] if serving else None)
        try:
            return None if peer is None else self._around.etcds.client(peer.node, quarantined=False)
        except AgentError as error:
            log.debug("no member to watch: %s", error)
            return None

    def _ask_full(self, reason: str) -> None:
        now = self._clock.now()
        request = BackupRequest(id=f"deltas-{secrets.token_hex(6)}", requested_by=self._around.me, requested_at=now, label=reason)
        self._around.control.request_backup(request)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_EVERY.total_seconds())
            if self._view() is None:
                continue
            try:
                await asyncio.to_thread(tidy, self._deltas, self._around.backups, now=self._clock.now(), keep=self._keep)
            except AgentError as error:
                log.warning("the deltas were not tidied: %s", error)
