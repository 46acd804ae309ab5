"""The leader's ways to its surroundings over the real network: gossip's peers, and one client for each member's etcd."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from agents.errors import AgentError, TransientError
from etcdmanager.etcd.answers import Member
from etcdmanager.etcd.client import ClientTls, EtcdClient
from etcdmanager.etcd.peer_port import is_etcd_peer
from etcdmanager.member.certificates import EtcdAuthorities, client_pair
from etcdmanager.peering.client import Peer
from etcdmanager.peering.gossip import Gossip
from etcdmanager.peering.messages import PeerInfo
from etcdmanager.spec import EtcdNode, endpoint

log = logging.getLogger(__name__)

#: Our client certificate lives in memory only; a new one once a month is well before the shortest life that kops configures.
_RENEW_CLIENT = timedelta(days=30)


class GossipGroup:
    """The managers that gossip knows, ourselves included."""

    def __init__(self, gossip: Gossip) -> None:
        self._gossip = gossip

    def known(self) -> tuple[str, ...]:
        """Return all peer ids, sorted."""
        return tuple(sorted((self._gossip.own.id, *(sight.id for sight in self._gossip.sights()))))

    def info(self, peer_id: str) -> PeerInfo | None:
        """Return what a healthy peer says of itself."""
        return next((info for info in self._gossip.healthy() if info.id == peer_id), None)

    def silence(self, peer_id: str) -> str:
        """Return since when a peer is silent, and its last error; "" for a healthy one."""
        if peer_id == self._gossip.own.id:
            return ""
        sight = next((sight for sight in self._gossip.sights() if sight.id == peer_id), None)
        if sight is None:
            return "never heard of"
        if sight.healthy:
            return ""
        silent = "never answered" if sight.silent_for is None else f"silent for {sight.silent_for.total_seconds():.0f} s"
        return f"{silent}: {sight.last_error}" if sight.last_error else silent

    def addresses(self, peer_id: str) -> tuple[str, ...]:
        """Return every endpoint that was ever named for a peer, ourselves included."""
        return self._gossip.own.endpoints if peer_id == self._gossip.own.id else self._gossip.addresses(peer_id)

    def twins(self, peer_id: str) -> tuple[str, ...]:
        """Return where managers answer that all say they are this peer."""
        return next((sight.twins for sight in self._gossip.sights() if sight.id == peer_id), ())

    def connection(self, peer_id: str) -> Peer | None:
        """Return the way to a peer."""
        return self._gossip.peer(peer_id)


@dataclass(slots=True, kw_only=True)
class _Kept:
    client: EtcdClient
    made: datetime


class EtcdConnections:
    """Clients to the members' etcds, kept by where they listen.

    They are dialled by the address at which their manager answers, and checked against the member's name, which its
    certificate carries: no name needs to resolve.
    """

    def __init__(
        self, group: GossipGroup, *, me: str, authorities: EtcdAuthorities | None, lifetime: timedelta, now: Callable[[], datetime]
    ) -> None:
        self._group = group
        self._me = me
        self._authority = authorities.clients if authorities is not None else None
        self._peers_bundle = authorities.peers.bundle if authorities is not None else b""
        self._lifetime = lifetime
        self._now = now
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._tls: ClientTls | None = None
        self._tls_made: datetime | None = None

    def client(self, node: EtcdNode, *, quarantined: bool) -> EtcdClient:
        """Return a client to one member where it listens in that mode; TransientError where its manager is not known."""
        url = self._url(node, quarantined=quarantined)
        now = self._now()
        kept = self._kept.get((node.name, url))
        if kept is None or now - kept.made > _RENEW_CLIENT:
            kept = self._kept[node.name, url] = _Kept(client=EtcdClient([url], tls=self._client_tls(node.name, url)), made=now)
        return kept.client

    async def answers_at(self, member: Member, node: EtcdNode | None, addresses: Sequence[str], *, deadline: timedelta) -> str:
        """Return the URL at which the listed member's own etcd answers, "" where nothing of it does."""
        clients = (*member.client_urls, *((*node.client_urls, *node.quarantined_client_urls) if node is not None else ()))
        asked = [self._is_member(member, url, deadline) for url in _everywhere(clients, addresses)]
        asked += [is_etcd_peer(url, trusted=self._peers_bundle, deadline=deadline) for url in _everywhere(member.peer_urls, addresses)]
        return next((url for url in await asyncio.gather(*asked) if url), "")

    async def _is_member(self, member: Member, url: str, deadline: timedelta) -> str:
        """Return `url` where the etcd there is that very member, "" otherwise."""
        try:
            async with EtcdClient([url], tls=self._client_tls(member.name, url)) as client:
                status = await client.status(deadline=deadline)
        except AgentError as error:
            log.debug("member %x does not answer at %s: %s", member.id, url, error)
            return ""
        return url if status.member_id == member.id else ""

    async def close(self) -> None:
        """Close all."""
        kept, self._kept = self._kept, {}
        for one in kept.values():
            await one.client.close()

    def _url(self, node: EtcdNode, *, quarantined: bool) -> str:
        urls = node.serving_urls(quarantined=quarantined)
        info = self._group.info(node.name)
        if not urls or info is None or not info.endpoints:
            raise TransientError(f"nobody knows where etcd {node.name} is", code="peer-unknown")
        parts = urlsplit(urls[0])
        host = info.endpoints[0].rpartition(":")[0].strip("[]")
        return f"{parts.scheme}://{endpoint(host, parts.port or 0)}"

    def _client_tls(self, name: str, url: str) -> ClientTls | None:
        if self._authority is None or url.startswith("http://"):
            return None
        now = self._now()
        if self._tls is None or self._tls_made is None or now - self._tls_made > _RENEW_CLIENT:
            pair = client_pair(self._authority, self._me, now=now, lifetime=self._lifetime)
            self._tls = ClientTls(ca_pem=self._authority.bundle, certificate_pem=pair.certificate_pem, key=pair.key)
            self._tls_made = now
        return ClientTls(ca_pem=self._tls.ca_pem, certificate_pem=self._tls.certificate_pem, key=self._tls.key, server_name=name)


def _everywhere(urls: Iterable[str], addresses: Iterable[str]) -> tuple[str, ...]:
    """Return the URLs as they are, and with each address ("ip:port" of a manager) in place of their host. Pure."""
    hosts = [address.rpartition(":")[0].strip("[]") for address in addresses]
    split = [(url, urlsplit(url)) for url in urls]
    swapped = [f"{parts.scheme}://{endpoint(host, parts.port)}" for _, parts in split if parts.port for host in hosts]
    return tuple(dict.fromkeys((*(url for url, parts in split if parts.port), *swapped)))
