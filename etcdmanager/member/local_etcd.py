"""Reaching our own etcd: always over loopback or its listen address, always by its own name, always with a deadline."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from agents.errors import AgentError
from etcdmanager.etcd.client import ClientTls, EtcdClient
from etcdmanager.peering.live import live_status
from etcdmanager.peering.messages import LiveStatus

#: A Describe must never be slow: a status that takes longer counts as none.
STATUS_DEADLINE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdAddress:
    """Where our etcd listens for clients, and the name that its certificate carries."""

    url: str
    server_name: str


def local_address(client_url: str, *, listen_host: str, name: str) -> EtcdAddress:
    """Return where to dial our own etcd: the listen host with the client URL's port, loopback if it listens everywhere."""
    parts = urlsplit(client_url)
    host = listen_host
    try:
        address = ipaddress.ip_address(listen_host.strip("[]"))
        if address.is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "[::1]"
    except ValueError:
        pass
    return EtcdAddress(url=f"{parts.scheme}://{host}:{parts.port}", server_name=name)


class LocalEtcd:
    """Keeps one channel to our etcd; a new one when its address or our certificate changes."""

    def __init__(self, tls: ClientTls | None) -> None:
        #: None talks in the clear; the server name is put in per address.
        self._tls = tls
        self._client: EtcdClient | None = None
        self._address: EtcdAddress | None = None

    async def status(self, address: EtcdAddress) -> LiveStatus | None:
        """Return etcd's status, None while it does not answer."""
        client = await self._at(address)
        try:
            status = await client.status(deadline=STATUS_DEADLINE)
        except AgentError:
            return None
        return live_status(status)

    @asynccontextmanager
    async def connection(self, address: EtcdAddress) -> AsyncIterator[EtcdClient]:
        """Give a channel of its own, for work that outlives a change of address."""
        async with EtcdClient([address.url], tls=self._tls_for(address)) as client:
            yield client

    async def close(self) -> None:
        """Close the channel."""
        client, self._client, self._address = self._client, None, None
        if client is not None:
            await client.close()

    async def _at(self, address: EtcdAddress) -> EtcdClient:
        if self._client is None or self._address != address:
            await self.close()
            self._client = EtcdClient([address.url], tls=self._tls_for(address))
            self._address = address
        return self._client

    def _tls_for(self, address: EtcdAddress) -> ClientTls | None:
        if self._tls is None or address.url.startswith("http://"):
            return None
        return ClientTls(
            ca_pem=self._tls.ca_pem, certificate_pem=self._tls.certificate_pem, key=self._tls.key, server_name=address.server_name
        )
