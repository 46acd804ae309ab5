"""The certificates by which managers know each other, kept fresh in a process that may run for years.

    hourly --do they still answer?--> re-issued into their files --> served at the next handshake, and every connection dialled anew

The CA's files are read each time too: a bundle that got a second CA is trusted without a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from agents.errors import AgentError
from etcdmanager.peering.gossip import Gossip
from etcdmanager.peering.tls import PeerTls

log = logging.getLogger(__name__)

#: Certificates are renewed months before they end (`--certificate-renew-before`).
RENEW_EVERY = timedelta(hours=1)


class ManagerTls:
    """What this manager serves and calls with, as of now. `issue` reads and, where needed, writes the files; it blocks."""

    def __init__(self, issue: Callable[[], tuple[PeerTls, PeerTls]]) -> None:
        self._issue = issue
        self._server, self._client = issue()

    def server(self) -> PeerTls:
        """Return what is served; the same object until it changes. Called from any thread."""
        return self._server

    def client(self) -> PeerTls:
        """Return what is called with."""
        return self._client

    def renew(self) -> bool:
        """Look again; return whether anything changed. Errors leave all as it was."""
        server, client = self._issue()
        if (_parts(server), _parts(client)) == (_parts(self._server), _parts(self._client)):
            return False
        self._server, self._client = server, client
        return True


async def keep_fresh(tls: ManagerTls, gossip: Gossip, *, every: timedelta = RENEW_EVERY) -> None:
    """Renew until cancelled. What cannot be renewed is told, and tried again."""
    while True:
        await asyncio.sleep(every.total_seconds())
        try:
            changed = await asyncio.to_thread(tls.renew)
        except AgentError as error:
            log.warning("the managers' certificates cannot be renewed (%s): %s", error.code, error)
            continue
        if changed:
            log.info("the managers' certificates were renewed")
            await gossip.redial()


def _parts(tls: PeerTls) -> tuple[bytes, bytes]:
    return tls.trusted, tls.certificate
