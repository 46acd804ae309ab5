"""Who a manager is on the wire: the names in its certificates, and gRPC credentials from them.

Server certificates carry `etcd-manager-server-<id>` as CN and only DNS name, client certificates `etcd-manager-client-<id>`
as CN (reference, section 4.2). A client demands the server name of the id that it wants, so an endpoint that serves another
id fails in the handshake; a server demands a client certificate, and handlers compare its CN with the id that is claimed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agents.secret import Secret

if TYPE_CHECKING:
    import grpc

_SERVER = "etcd-manager-server-"
_CLIENT = "etcd-manager-client-"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTls:
    """One side's TLS material: trusted CAs (PEM, maybe several), and our certificate with its key."""

    trusted: bytes
    certificate: bytes
    key: Secret


def server_name(peer_id: str) -> str:
    """Return the name that the manager `peer_id` serves under."""
    return _SERVER + peer_id


def client_name(peer_id: str) -> str:
    """Return the common name that the manager `peer_id` calls with."""
    return _CLIENT + peer_id


def peer_of_client_name(common_name: str) -> str | None:
    """Return the peer id that a client's common name stands for, None for a name that is no manager's."""
    return common_name.removeprefix(_CLIENT) if common_name.startswith(_CLIENT) else None


def channel_credentials(tls: PeerTls) -> grpc.ChannelCredentials:
    """Return what a client channel authenticates with."""
    import grpc

    return grpc.ssl_channel_credentials(root_certificates=tls.trusted, private_key=tls.key.reveal(), certificate_chain=tls.certificate)


def server_credentials(newest: Callable[[], PeerTls]) -> grpc.ServerCredentials:
    """Return what the server authenticates with; clients must show a certificate of a trusted CA.

    `newest` is asked at every handshake, from gRPC's own threads: what it says then is served, so that a certificate may be renewed,
    or a CA added, under a running server.
    """
    import grpc

    served = [newest()]

    def changed() -> grpc.ServerCertificateConfiguration | None:
        tls = newest()
        if tls is served[0]:
            return None
        served[0] = tls
        return _configuration(tls)

    # "None: no change" is gRPC's contract; its stubs forget it.
    return grpc.dynamic_ssl_server_credentials(_configuration(served[0]), changed, require_client_authentication=True)  # type: ignore[arg-type]


def _configuration(tls: PeerTls) -> grpc.ServerCertificateConfiguration:
    import grpc

    return grpc.ssl_server_certificate_configuration([(tls.key.reveal(), tls.certificate)], root_certificates=tls.trusted)
