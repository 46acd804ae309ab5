"""Asking the living etcds themselves, on a control-plane node: with a certificate made now from the clients' CA that lies there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from agents.errors import NotFoundError, SpecError
from agents.host.local import LocalHost
from etcdmanager.etcd.client import ClientTls, EtcdClient
from etcdmanager.identity import Identity, identify
from etcdmanager.member.certificates import CLIENTS_CA, Authority, client_pair, load_authority
from etcdmanager.spec import ManagerConfig, endpoint

_LIFETIME = timedelta(hours=12)


class LivingEtcds:
    """Clients to the members' etcds; as many as are asked for, each to be closed by whoever got it."""

    def __init__(self, config: ManagerConfig) -> None:
        """NotFoundError or SpecError where this machine has no data directory or no CA; see `identify` and `load_authority`."""
        if not config.peer_id and not config.volume_file:
            raise NotFoundError("this node's manager has no name of its own yet", hint="it writes one when it starts")
        self._config = config
        self.identity: Identity = identify(config, LocalHost())
        self._authority: Authority | None = None if config.etcd_insecure else load_authority(LocalHost(), config.pki_dir, CLIENTS_CA)

    def own(self) -> EtcdClient:
        """Return a client to this node's etcd where clients reach it."""
        node = self._config.node(peer_id=self.identity.peer_id, address=self.identity.address)
        port = urlsplit(node.client_urls[0]).port if node.client_urls else None
        if port is None:
            raise SpecError(f"nothing says where clients reach etcd: {', '.join(node.client_urls) or 'no --client-urls'}")
        scheme = "http" if self._authority is None else "https"
        return self.at(f"{scheme}://{endpoint(self.identity.address, port)}", self.identity.peer_id)

    def at(self, url: str, name: str) -> EtcdClient:
        """Return a client to the member `name` at a URL."""
        if self._authority is None or url.startswith("http://"):
            return EtcdClient([url])
        pair = client_pair(self._authority, self.identity.peer_id, now=datetime.now(UTC), lifetime=_LIFETIME)
        tls = ClientTls(ca_pem=self._authority.bundle, certificate_pem=pair.certificate_pem, key=pair.key, server_name=name)
        return EtcdClient([url], tls=tls)
