"""What kops-controller puts in certificates, from the table of reference/nodeup.md 1.7.5: subjects, signers, names and validity.

Subjects and alternative names come from who the token proved the node to be, never from the request.
"""

from __future__ import annotations

import base64
import functools
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agents.pki.issue import CertificateRequest, Usage, issue, self_signed_ca
from agents.pki.keypair import Keypair, generate_rsa_key, load_certificate, load_private_key

CLUSTER_CA = "kubernetes-ca"
CILIUM_CA = "etcd-clients-ca-cilium"
BACKDATED = timedelta(hours=48)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """One name that may be asked for; "{node}" is the node's name."""

    signer: str
    common_name: str
    organization: str = ""
    is_server: bool = False


#: All that can be had.
CERTIFICATES = {
    "kubelet": Issued(signer=CLUSTER_CA, common_name="system:node:{node}", organization="system:nodes"),
    "kubelet-server": Issued(signer=CLUSTER_CA, common_name="{node}", is_server=True),
    "kube-proxy": Issued(signer=CLUSTER_CA, common_name="system:kube-proxy"),
    "kube-router": Issued(signer=CLUSTER_CA, common_name="system:kube-router"),
    "etcd-client-cilium": Issued(signer=CILIUM_CA, common_name="cilium"),
}


class NotIssuedError(Exception):
    """The request is wrong; the text is what the node is told."""


@functools.cache
def some_ca(name: str = CLUSTER_CA) -> Keypair:
    """Return a CA; the same one each time, because keys are slow to make. Valid for a long time around 2026."""
    key = generate_rsa_key()
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    return Keypair(certificate_pem=self_signed_ca(name, key=key, not_before=begin, not_after=begin + timedelta(days=7300)), key=key)


@functools.cache
def leaf(common_name: str, names: tuple[str, ...], usage: Usage, ca: Keypair) -> Keypair:
    """Return a certificate of kops-controller's own."""
    key = generate_rsa_key()
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    request = CertificateRequest(common_name=common_name, alternate_names=names, usage=usage)
    pem = issue(request, signer=ca, key=key, not_before=begin, not_after=begin + timedelta(days=7300))
    return Keypair(certificate_pem=pem, key=key)


def validity_of(node_name: str) -> timedelta:
    """Return how long a node's certificates are valid: 455 days, and up to 30 more that its name decides, so that fleets expire apart."""
    fnv1 = 2166136261
    for byte in node_name.encode():
        fnv1 = (fnv1 * 16777619 % (1 << 32)) ^ byte
    return timedelta(hours=455 * 24 + fnv1 % (30 * 24))


class Signer:
    """One CA, read once: that takes longer than everything else here."""

    def __init__(self, ca: Keypair) -> None:
        self._certificate, self._key = load_certificate(ca.certificate_pem), load_private_key(ca.key)

    def sign(
        self, what: Issued, public_key_pem: str, *, node_name: str, names: tuple[str, ...], now: datetime, validity: timedelta
    ) -> bytes:
        """Return the certificate for a public key in kops' form."""
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, what.common_name.format(node=node_name))]
        if what.organization:
            attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, what.organization))
        builder = (
            x509.CertificateBuilder(issuer_name=self._certificate.subject, subject_name=x509.Name(attributes))
            .public_key(public_key(public_key_pem))
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + validity)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        extended = ExtendedKeyUsageOID.SERVER_AUTH if what.is_server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([extended]), critical=False)
        if what.is_server and names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        return builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


def public_key(pem: str) -> CertificateIssuerPublicKeyTypes:
    """Read kops' form: a PEM block named RSA PUBLIC KEY that holds SubjectPublicKeyInfo."""
    lines = pem.strip().splitlines() or [""]
    if lines[0] != "-----BEGIN RSA PUBLIC KEY-----":
        raise NotIssuedError(f"unexpected PEM type {lines[0]}")
    try:
        return load_der_public_key(base64.b64decode("".join(lines[1:-1])))  # type: ignore[return-value]
    except ValueError as error:
        raise NotIssuedError("failed to parse public key") from error


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
