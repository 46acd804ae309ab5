"""Who is there: every known peer is pinged, and whoever was in contact lately, in either direction, is healthy.

                 ┌───────── discovery, a caller, a leader's view name it ─────────┐
                 v                                                                │
    unknown ─> known ── Ping answered, or it pinged us ──> healthy ── silence ──> known (for ever: the map only grows)

Timers: 1 s between pings and 5 s of silence among managers of this project; the Go program's 5 s and 60 s as soon as one of
its managers is in the group, because it refuses leaders that leave out a peer whom it still considers healthy (reference,
section 11.3.1). A peer is its id; which address answers for it does not matter, TLS proves the id.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from agents.clock import Clock
from agents.errors import AgentError
from etcdmanager.peering.client import Peer
from etcdmanager.peering.discovery import Discovery
from etcdmanager.peering.messages import PeerInfo
from etcdmanager.spec import SeedPeer

log = logging.getLogger(__name__)

#: Opens a connection to the peer of that id at that endpoint; nothing is sent yet.
Dial = Callable[[str, str], Peer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """How often to ping, how long a ping may take, and after how much silence a peer is not healthy any more."""

    ping: timedelta
    ping_deadline: timedelta
    suspect: timedelta


FAST = Timers(ping=timedelta(seconds=1), ping_deadline=timedelta(seconds=2), suspect=timedelta(seconds=5))
#: The Go program's constants (reference, appendix A); it has no ping deadline.
COMPATIBLE = Timers(ping=timedelta(seconds=5), ping_deadline=timedelta(seconds=5), suspect=timedelta(seconds=60))


#: How long two addresses of one id must both go on calling before they are called twins: longer than a machine with a new address
#: may still be remembered under its old one, and than the pauses between pings.
_TWINS_WITHIN = timedelta(seconds=30)

#: How many places of one peer are remembered.
_MOST_PLACES = 8

#: Pings that are saved in a row; a ping in each direction every second would cost an idle manager a third of its CPU.
_MOST_SKIPPED = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSight:
    """What is known of one peer, for status and decisions. `silent_for` None: never in contact."""

    id: str
    healthy: bool
    silent_for: timedelta | None
    endpoints: tuple[str, ...]
    is_ours: bool
    last_error: str = ""
    #: Where managers answer or call that all say they are this peer; empty unless there are at least two.
    twins: tuple[str, ...] = ()


@dataclass(slots=True)
class _Place:
    """Where a peer says it is, since when, and when it last said so (monotonic seconds)."""

    first: float
    last: float


@dataclass(slots=True)
class _Known:
    id: str
    discovered: tuple[str, ...] = ()
    info: PeerInfo | None = None
    last_contact: float | None = None
    client: Peer | None = None
    client_endpoint: str = ""
    tried: int = 0
    last_error: str = ""
    task: asyncio.Task[None] | None = field(default=None, repr=False)
    #: By what the peer says of its endpoints.
    places: dict[tuple[str, ...], _Place] = field(default_factory=dict)

    def endpoints(self) -> tuple[str, ...]:
        own = self.info.endpoints if self.info else ()
        return tuple(dict.fromkeys((*own, *self.discovered)))

    def addresses(self) -> tuple[str, ...]:
        """Return every endpoint that this process ever heard of for the id."""
        heard = (endpoint for place in self.places for endpoint in place)
        return tuple(dict.fromkeys((*self.endpoints(), *heard)))

    def heard_at(self, endpoints: tuple[str, ...], now: float) -> None:
        """Note that the peer said, just now, that it is there."""
        place = self.places.setdefault(endpoints, _Place(first=now, last=now))
        place.last = now
        if len(self.places) > _MOST_PLACES:
            del self.places[min(self.places, key=lambda where: self.places[where].last)]

    def twins(self, now: float, within: float) -> tuple[str, ...]:
        """Return the endpoints of managers that share the id: heard lately, and each again after the other had first appeared."""
        lately = [(where, place) for where, place in self.places.items() if now - place.last <= within]
        newest = max((place.first for _, place in lately), default=now)
        found = sorted({endpoint for where, place in lately if place.last > newest or place.first == newest for endpoint in where})
        distinct = sum(1 for _, place in lately if place.last > newest or place.first == newest)
        return tuple(found) if distinct > 1 else ()


class Gossip:
    """The group as this manager sees it. Give `run()` a task; all else may be called in the event loop at any time."""

    def __init__(
        self,
        own: PeerInfo,
        *,
        dial: Dial,
        discoveries: Sequence[Discovery],
        clock: Clock,
        discovery_interval: timedelta,
        compatible: bool = False,
    ) -> None:
        self.own = own
        self._dial = dial
        self._discoveries = tuple(discoveries)
        self._clock = clock
        self._discovery_interval = discovery_interval
        self._compatible = compatible
        self._peers: dict[str, _Known] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._changed = asyncio.Event()
        self._self_client: Peer | None = None

    @property
    def timers(self) -> Timers:
        """The timers that fit the group as it is."""
        slow = self._compatible or any(known.info is not None and not known.info.is_ours for known in self._peers.values())
        return COMPATIBLE if slow else FAST

    def healthy(self) -> tuple[PeerInfo, ...]:
        """Return whom we have been in contact with lately, ourselves included, in byte order of ids."""
        infos = [self.own, *(known.info for known in self._peers.values() if known.info is not None and self._is_healthy(known))]
        return tuple(sorted(infos, key=lambda info: info.id.encode()))

    def sights(self) -> tuple[PeerSight, ...]:
        """Return every other peer that is known, healthy or not, by id."""
        now = self._clock.monotonic()
        return tuple(
            PeerSight(
                id=known.id,
                healthy=self._is_healthy(known),
                silent_for=None if known.last_contact is None else timedelta(seconds=now - known.last_contact),
                endpoints=known.endpoints(),
                is_ours=known.info is not None and known.info.is_ours,
                last_error=known.last_error,
                twins=known.twins(now, self._twins_within()),
            )
            for known in sorted(self._peers.values(), key=lambda known: known.id.encode())
        )

    def peer(self, peer_id: str) -> Peer | None:
        """Return a connection to a peer, ourselves included; None for one that is unknown or has no address.

        It is gossip's: do not close it. It may be replaced, so ask again for every round.
        """
        if peer_id == self.own.id:
            if self._self_client is None:
                self._self_client = self._dial(self.own.id, self.own.endpoints[0])
            return self._self_client
        known = self._peers.get(peer_id)
        return self._client(known) if known is not None else None

    def addresses(self, peer_id: str) -> tuple[str, ...]:
        """Return every endpoint that was ever named for a peer; empty for one that is unknown."""
        known = self._peers.get(peer_id)
        return known.addresses() if known is not None else ()

    def reaches_few(self) -> bool:
        """Return whether no more than half of all known managers, ourselves included, are in contact with us."""
        return 2 * len(self.healthy()) <= len(self._peers) + 1

    def may_lead(self) -> bool:
        """Return whether we may lead: always among our own; beside a healthy Go manager only with the lowest id, as its rule is."""
        healthy = self.healthy()
        return all(info.is_ours for info in healthy) or healthy[0].id == self.own.id

    def heard(self, info: PeerInfo) -> None:
        """Note that this peer has just called: it is healthy."""
        if info.id != self.own.id:
            self._contact(self._know(info.id), info)

    def introduced(self, peers: Collection[PeerInfo]) -> None:
        """Note peers that somebody else knows; they are pinged, and healthy only once they answer."""
        for info in peers:
            if info.id and info.id != self.own.id:
                known = self._know(info.id)
                if known.info is None:
                    known.discovered = tuple(dict.fromkeys((*known.discovered, *info.endpoints)))

    async def redial(self) -> None:
        """Close every connection; the next use of each dials anew, with the certificates of that moment."""
        await self._close()

    async def changes(self) -> None:
        """Return when the set of healthy peers may have changed."""
        await self._changed.wait()
        self._changed.clear()

    async def run(self) -> None:
        """Discover and ping until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for known in self._peers.values():
                    known.task = tasks.create_task(self._keep_in_touch(known))
                tasks.create_task(self._discover())
        finally:
            self._tasks = None
            await self._close()

    async def _discover(self) -> None:
        while True:
            for discovery in self._discoveries:
                try:
                    seeds = await asyncio.to_thread(discovery.poll)
                except AgentError as error:
                    log.warning("discovery did not work: %s", error)
                    continue
                self._learn(seeds)
            # Files appear while a group starts: look often until somebody is there.
            alone = len(self.healthy()) == 1
            pause = min(self._discovery_interval, timedelta(seconds=1)) if alone else self._discovery_interval
            await asyncio.sleep(pause.total_seconds())

    def _learn(self, seeds: Iterable[SeedPeer]) -> None:
        for seed in seeds:
            if seed.id != self.own.id:
                self._know(seed.id).discovered = seed.endpoints

    def _know(self, peer_id: str) -> _Known:
        known = self._peers.get(peer_id)
        if known is None:
            known = self._peers[peer_id] = _Known(id=peer_id)
            log.info("learnt of peer %s", peer_id)
            if self._tasks is not None:
                known.task = self._tasks.create_task(self._keep_in_touch(known))
        return known

    async def _keep_in_touch(self, known: _Known) -> None:
        """Ping, except where the peer's own pings tell us as much: of each pair, one pings. Now and then our way to it is tried anyway."""
        skipped = 0
        while True:
            if self._was_just_heard(known) and skipped < _MOST_SKIPPED:
                skipped += 1
            else:
                skipped = 0
                await self._ping(known)
            await asyncio.sleep(self.timers.ping.total_seconds())

    def _was_just_heard(self, known: _Known) -> bool:
        return known.last_contact is not None and self._clock.monotonic() - known.last_contact < self.timers.ping.total_seconds()

    async def _ping(self, known: _Known) -> None:
        client = self._client(known)
        if client is None:
            return
        try:
            info = await client.ping(self.own, deadline=self.timers.ping_deadline)
        except AgentError as error:
            if not known.last_error:
                log.warning("peer %s does not answer: %s", known.id, error)
            known.last_error = str(error)
            await self._next_endpoint(known)
            return
        if info.id != known.id:
            known.last_error = f"{known.client_endpoint} is {info.id}, not {known.id}"
            await self._next_endpoint(known)
            return
        self._contact(known, info)

    def _contact(self, known: _Known, info: PeerInfo) -> None:
        was = self._is_healthy(known)
        now = self._clock.monotonic()
        known.info, known.last_contact, known.last_error = info, now, ""
        known.heard_at(info.endpoints, now)
        if not was:
            log.info("peer %s is healthy", known.id)
            self._changed.set()

    def _is_healthy(self, known: _Known) -> bool:
        return known.last_contact is not None and self._clock.monotonic() - known.last_contact <= self.timers.suspect.total_seconds()

    def _twins_within(self) -> float:
        """Return how lately a place must have been heard of to count: of each pair only one pings, and now and then."""
        return max(_TWINS_WITHIN, self.timers.ping * (_MOST_SKIPPED + 1) * 2).total_seconds()

    def _client(self, known: _Known) -> Peer | None:
        endpoints = known.endpoints()
        if not endpoints:
            return None
        if known.client is None:
            known.client_endpoint = endpoints[known.tried % len(endpoints)]
            known.client = self._dial(known.id, known.client_endpoint)
        return known.client

    async def _next_endpoint(self, known: _Known) -> None:
        """Give up the connection if there is another address to try; a channel to the only address reconnects by itself."""
        if known.client is None or known.endpoints() in {(), (known.client_endpoint,)}:
            return
        client, known.client = known.client, None
        known.tried += 1
        await client.close()

    async def _close(self) -> None:
        clients = [known.client for known in self._peers.values() if known.client is not None]
        if self._self_client is not None:
            clients.append(self._self_client)
        for known in self._peers.values():
            known.client = None
        self._self_client = None
        for client in clients:
            await client.close()
