"""Looking at the certificates of etcd and its manager on this machine: CAs, the managers' own, and etcd's of the present cluster."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from agents.errors import AgentError, NotFoundError, VerificationError
from agents.host.protocol import Host
from agents.pki.keypair import belongs, is_signed_by
from agents.pki.reading import facts_in
from agents.secret import Secret
from etcdmanager.doctor.view import CertificateSeen
from etcdmanager.identity import Identity
from etcdmanager.member.certificates import CLIENTS_CA, MANAGER_CA, PEERS_CA, peer_request, server_request
from etcdmanager.member.layout import Layout
from etcdmanager.peering.tls import client_name, server_name
from etcdmanager.spec import ManagerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a certificate lies, and what it is held to."""

    path: str
    role: str
    #: The file of the CA that should have signed it; "" for a CA itself.
    authority: str = ""
    #: Names that it should hold.
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Everything that was found."""

    certificates: tuple[CertificateSeen, ...]
    #: "path: why" of files that hold none.
    damaged: tuple[str, ...]


def places(config: ManagerConfig, identity: Identity | None, tokens: Iterable[str]) -> Iterator[Place]:
    """Yield where certificates should be; without an identity only the CAs are known."""
    if not config.insecure:
        yield Place(path=f"{config.pki_dir}/{MANAGER_CA}.crt", role="ca")
    if not config.etcd_insecure:
        yield from (Place(path=f"{config.pki_dir}/{name}.crt", role="ca") for name in (PEERS_CA, CLIENTS_CA))
    if identity is None:
        return
    if not config.insecure:
        ca = f"{config.pki_dir}/{MANAGER_CA}.crt"
        server, client = server_name(identity.peer_id), client_name(identity.peer_id)
        yield Place(path=f"{config.pki_dir}/{server}.crt", role="manager", authority=ca, names=(server,))
        yield Place(path=f"{config.pki_dir}/{client}.crt", role="manager", authority=ca)
    if config.etcd_insecure:
        return
    node = config.node(peer_id=identity.peer_id, address=identity.address)
    layout = Layout(identity.data_dir)
    for token in tokens:
        pki = layout.pki_of(token)
        peers, clients = peer_request(node, identity.address), server_request(node)
        yield Place(path=f"{pki}/peers/me.crt", role="etcd", authority=f"{config.pki_dir}/{PEERS_CA}.crt", names=peers.alternate_names)
        yield Place(
            path=f"{pki}/clients/server.crt", role="etcd", authority=f"{config.pki_dir}/{CLIENTS_CA}.crt", names=clients.alternate_names
        )


def look_at_certificates(host: Host, wanted: Iterable[Place]) -> Shelf:
    """Return every certificate that lies in a place; a place without a file is nothing to tell: it is issued when it is needed."""
    found: list[CertificateSeen] = []
    damaged: list[str] = []
    for place in wanted:
        try:
            found += _in_file(host, place)
        except NotFoundError:
            if place.role == "ca":
                damaged.append(f"{place.path}: it does not exist")
        except AgentError as error:
            damaged.append(f"{place.path}: {error}")
    return Shelf(certificates=tuple(found), damaged=tuple(damaged))


def _in_file(host: Host, place: Place) -> Iterator[CertificateSeen]:
    """Yield the certificates of a file: several CAs during a rotation, else the first, which is the one that is shown."""
    content = host.read(place.path)
    found = facts_in(content)
    for facts in found if place.role == "ca" else found[:1]:
        seen = CertificateSeen(
            path=place.path,
            role=place.role,
            subject=facts.subject,
            issuer=facts.issuer,
            not_before=facts.not_before,
            not_after=facts.not_after,
            names=facts.names,
            missing_names=tuple(name for name in place.names if _plain(name) not in facts.names),
        )
        if place.role != "ca":
            seen = replace(seen, is_of_its_ca=_is_signed(host, content, place.authority), has_own_key=_has_key(host, content, place.path))
        yield seen


def _plain(name: str) -> str:
    """Return a name as a certificate holds it: addresses in their shortest form."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _is_signed(host: Host, certificate_pem: bytes, authority: str) -> bool | None:
    """Return whether a CA of that file signed it; None where the file cannot be used, which is a finding of its own."""
    try:
        return is_signed_by(certificate_pem, host.read(authority))
    except AgentError:
        return None


def _has_key(host: Host, certificate_pem: bytes, path: str) -> bool | None:
    try:
        return belongs(certificate_pem, Secret(host.read(f"{path.removesuffix('.crt')}.key")))
    except NotFoundError:
        return None
    except VerificationError:
        return False
