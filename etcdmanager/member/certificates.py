"""The certificates of one member: etcd's own below `pki/<token>/`, and those by which managers know each other in the pki directory.

Issued from the CAs that nodeup put there, re-used while they still answer their request, written atomically so that etcd,
which reads them at every handshake, gets renewed ones without a restart. Names and usages: reference, sections 4.2 and 5.7.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from agents.errors import NotFoundError, SpecError
from agents.host.protocol import Host
from agents.pki.expiry import not_after, not_before, reason_to_reissue
from agents.pki.issue import CertificateRequest, Usage, issue
from agents.pki.keypair import Keypair, belongs, generate_ec_key, generate_rsa_key, load_certificates
from agents.secret import Secret
from etcdmanager.member.command_line import TlsFiles
from etcdmanager.member.layout import Layout
from etcdmanager.peering.tls import PeerTls, client_name, server_name
from etcdmanager.spec import EtcdNode, KeyKind

log = logging.getLogger(__name__)

MANAGER_CA = "etcd-manager-ca"
PEERS_CA = "etcd-peers-ca"
CLIENTS_CA = "etcd-clients-ca"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A CA: all certificates that are trusted (during a rotation several), and the one that signs."""

    bundle: bytes
    signer: Keypair


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdAuthorities:
    """The CAs of etcd's peers and of its clients."""

    peers: Authority
    clients: Authority


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long certificates live, from when they are renewed, and of which kind their keys are."""

    lifetime: timedelta
    renew_before: timedelta
    key_kind: KeyKind = KeyKind.RSA


def load_authority(host: Host, pki_dir: str, name: str) -> Authority:
    """Return the CA `<name>.crt/.key`; NotFoundError where a file is missing, SpecError where no certificate fits the key."""
    bundle = host.read(f"{pki_dir}/{name}.crt")
    key = Secret(host.read(f"{pki_dir}/{name}.key"))
    for certificate in load_certificates(bundle):
        pem = _pem(certificate)
        if belongs(pem, key):
            return Authority(bundle=bundle, signer=Keypair(certificate_pem=pem, key=key))
    raise SpecError(
        f"no certificate in {pki_dir}/{name}.crt fits the key beside it", code="ca-mismatch", hint="let nodeup write both again"
    )


class CertificateShelf:
    """Issues into files, and re-uses what is there. Blocking: RSA keys take a tenth of a second and more, so call it in a thread."""

    def __init__(self, host: Host, terms: Terms) -> None:
        self._host = host
        self._terms = terms

    def manager(self, authority: Authority, *, pki_dir: str, peer_id: str, now: datetime) -> tuple[PeerTls, PeerTls]:
        """Return what this manager serves with and calls with."""
        server = CertificateRequest(common_name=server_name(peer_id), alternate_names=(server_name(peer_id),), usage=Usage.SERVER)
        client = CertificateRequest(common_name=client_name(peer_id), usage=Usage.CLIENT)
        return (
            self._peer_tls(authority, f"{pki_dir}/{server_name(peer_id)}", server, now),
            self._peer_tls(authority, f"{pki_dir}/{client_name(peer_id)}", client, now),
        )

    def etcd(
        self, layout: Layout, token: str, node: EtcdNode, *, address: str, authorities: EtcdAuthorities, now: datetime
    ) -> tuple[TlsFiles, TlsFiles]:
        """Make etcd's peer and client-facing certificates as they should be; return their files, peers' first."""
        pki = layout.pki_of(token)
        for directory in (pki, f"{pki}/peers", f"{pki}/clients"):
            self._host.make_directory(directory, mode=0o700)
        return (
            self._tls_files(authorities.peers, f"{pki}/peers", "me", peer_request(node, address), now),
            self._tls_files(authorities.clients, f"{pki}/clients", "server", server_request(node), now),
        )

    def _tls_files(self, authority: Authority, directory: str, name: str, request: CertificateRequest, now: datetime) -> TlsFiles:
        self.ensure(authority, f"{directory}/{name}", request, now)
        trusted = f"{directory}/ca.crt"
        if self._read(trusted) != authority.bundle:
            self._host.write(trusted, authority.bundle, mode=0o644)
        return TlsFiles(trusted=trusted, certificate=f"{directory}/{name}.crt", key=f"{directory}/{name}.key")

    def _peer_tls(self, authority: Authority, stem: str, request: CertificateRequest, now: datetime) -> PeerTls:
        pair = self.ensure(authority, stem, request, now)
        return PeerTls(trusted=authority.bundle, certificate=pair.certificate_pem, key=pair.key)

    def ensure(self, authority: Authority, stem: str, request: CertificateRequest, now: datetime) -> Keypair:
        """Return `<stem>.crt/.key`, issued now if what is there does not answer `request`; the key is kept if it can be."""
        certificate, key_pem = self._read(f"{stem}.crt") or b"", self._read(f"{stem}.key")
        key = Secret(key_pem) if key_pem else None
        reason = reason_to_reissue(certificate, key, request, signer=authority.signer, now=now, renew_before=self._terms.renew_before)
        if reason is None and key is not None:
            return Keypair(certificate_pem=certificate, key=key)
        log.info("issuing %s.crt: %s", stem, reason)
        if key is None or "cannot be read" in (reason or ""):
            key = new_key(self._terms.key_kind)
            self._host.write(f"{stem}.key", key.reveal(), mode=0o600)
        issued = issue_leaf(request, authority=authority, key=key, now=now, lifetime=self._terms.lifetime)
        self._host.write(f"{stem}.crt", issued, mode=0o644)
        return Keypair(certificate_pem=issued, key=key)

    def _read(self, path: str) -> bytes | None:
        try:
            return self._host.read(path)
        except NotFoundError:
            return None


def issue_leaf(request: CertificateRequest, *, authority: Authority, key: Secret, now: datetime, lifetime: timedelta) -> bytes:
    """Return a certificate from the CA's own beginning (clocks differ) until `lifetime` from now, never beyond the CA's end."""
    signer = authority.signer
    end = min(now + lifetime, not_after(signer.certificate_pem))
    return issue(request, signer=signer, key=key, not_before=not_before(signer.certificate_pem), not_after=end)


def client_pair(authority: Authority, peer_id: str, *, now: datetime, lifetime: timedelta) -> Keypair:
    """Return what this manager shows to etcds: made in memory with an EC key, which takes no time (B-40)."""
    request = CertificateRequest(common_name=f"etcd-manager-{peer_id}", usage=Usage.CLIENT)
    key = generate_ec_key()
    return Keypair(certificate_pem=issue_leaf(request, authority=authority, key=key, now=now, lifetime=lifetime), key=key)


def peer_request(node: EtcdNode, address: str) -> CertificateRequest:
    """Return what etcd's peer certificate says: also our own address, because etcd checks where a peer comes from (etcd-manager#371)."""
    names = (node.name, *_hosts(node.peer_urls), address, *_LOOPBACK)
    return CertificateRequest(common_name=node.name, alternate_names=_unique(names), usage=Usage.CLIENT_SERVER)


def server_request(node: EtcdNode) -> CertificateRequest:
    """Return what etcd's client-facing certificate says: the hosts of all its URLs, so that clients may use any of them."""
    urls = (*node.client_urls, *node.quarantined_client_urls, *node.peer_urls)
    return CertificateRequest(
        common_name=node.name, alternate_names=_unique((node.name, *_hosts(urls), *_LOOPBACK)), usage=Usage.CLIENT_SERVER
    )


def new_key(kind: KeyKind) -> Secret:
    """Return a new private key."""
    return generate_ec_key() if kind is KeyKind.EC else generate_rsa_key()


_LOOPBACK = ("127.0.0.1", "::1")


def _hosts(urls: Iterable[str]) -> tuple[str, ...]:
    return tuple(host for url in urls if (host := urlsplit(url).hostname) and not _is_any(host))


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _pem(certificate: object) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    assert isinstance(certificate, x509.Certificate)  # noqa: S101  what load_certificates returns
    return certificate.public_bytes(Encoding.PEM)
