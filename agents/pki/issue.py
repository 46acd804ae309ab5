"""Issuing: what a request asks for, as an X.509 certificate signed by a CA. Whether to do so is `agents.pki.expiry`'s question.

    usage           key usage                             extended key usage
    CLIENT          digital signature                     client
    SERVER          digital signature, key encipherment   server
    CLIENT_SERVER   digital signature, key encipherment   client, server
    CA              certificate sign, CRL sign            -                     (basic constraints: CA)

Source: kops pkg/pki, by way of reference nodeup.md §3.6 (IssueCert) and etcd-manager.md §5.7.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from agents.errors import InvariantError, SpecError, VerificationError
from agents.pki.keypair import Keypair, belongs, load_certificate, load_private_key
from agents.secret import Secret

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.x509.oid import ObjectIdentifier

    from agents.pki.keypair import PrivateKey


class Usage(Enum):
    """What a certificate may be used for; the values are kops' spelling."""

    CLIENT = "client"
    SERVER = "server"
    CLIENT_SERVER = "clientServer"
    CA = "ca"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRequest:
    """What a certificate shall say."""

    common_name: str
    organization: tuple[str, ...] = ()
    #: DNS names and IP addresses, mixed: what parses as an address is one. Repetitions count once.
    alternate_names: tuple[str, ...] = ()
    usage: Usage = Usage.CLIENT


def issue(request: CertificateRequest, *, signer: Keypair, key: Secret, not_before: datetime, not_after: datetime) -> bytes:
    """Return the certificate for `key` as PEM, the leaf alone, signed by `signer`, with a random serial.

    Times are aware; seconds count. They are not capped to the signer's: a leaf that outlives its CA is useless
    anyway, and the caller sees to that. SpecError for names that no certificate can hold; VerificationError where
    the signer's key and certificate do not belong together.
    """
    issuer = load_certificate(signer.certificate_pem)
    if not belongs(signer.certificate_pem, signer.key):
        raise VerificationError(f"the key of CA {issuer.subject.rfc4514_string()!r} is not that of its certificate", code="ca-mismatch")
    builder = _builder(request, load_private_key(key), not_before, not_after)
    return _sign(builder, issuer=issuer.subject, key_id=_subject_key_id(issuer), key=load_private_key(signer.key))


def self_signed_ca(common_name: str, *, key: Secret, not_before: datetime, not_after: datetime, serial: int | None = None) -> bytes:
    """Return a new CA certificate as PEM, signed by its own key; `serial` (random where None) is its id in a keyset, ordered by age."""
    request = CertificateRequest(common_name=common_name, usage=Usage.CA)
    return self_signed(request, key=key, not_before=not_before, not_after=not_after, serial=serial)


def self_signed(request: CertificateRequest, *, key: Secret, not_before: datetime, not_after: datetime, serial: int | None = None) -> bytes:
    """Return a certificate as PEM that its own key signed: a CA, or a leaf whose bytes the other side is told beforehand."""
    own_key = load_private_key(key)
    builder = _builder(request, own_key, not_before, not_after, serial=serial)
    return _sign(builder, issuer=_subject(request), key_id=None, key=own_key)


def key_usages(usage: Usage) -> frozenset[str]:
    """Return the key usages of a kind of certificate, in the field names of cryptography's x509.KeyUsage."""
    match usage:
        case Usage.CA:
            return frozenset({"key_cert_sign", "crl_sign"})
        case Usage.CLIENT:
            return frozenset({"digital_signature"})
        case Usage.SERVER | Usage.CLIENT_SERVER:
            return frozenset({"digital_signature", "key_encipherment"})


def extended_usages(usage: Usage) -> tuple[ObjectIdentifier, ...]:
    """Return the extended key usages of a kind of certificate."""
    from cryptography.x509.oid import ExtendedKeyUsageOID

    match usage:
        case Usage.CA:
            return ()
        case Usage.CLIENT:
            return (ExtendedKeyUsageOID.CLIENT_AUTH,)
        case Usage.SERVER:
            return (ExtendedKeyUsageOID.SERVER_AUTH,)
        case Usage.CLIENT_SERVER:
            return (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)


def alternate_name(text: str) -> x509.GeneralName:
    """Return an alternative name: an IP address where `text` is one, else a DNS name; SpecError where it is not ASCII."""
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return x509.DNSName(text)
    except ValueError as error:
        raise SpecError(f"alternative name {text!r}: wanted an IP address or a DNS name in ASCII") from error


def _builder(
    request: CertificateRequest, key: PrivateKey, not_before: datetime, not_after: datetime, *, serial: int | None = None
) -> x509.CertificateBuilder:
    from cryptography import x509

    if not_after <= not_before:
        raise InvariantError(f"certificate {request.common_name!r} would end ({not_after}) before it begins ({not_before})")
    builder = (
        x509.CertificateBuilder()
        .subject_name(_subject(request))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number() if serial is None else serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(_key_usage(request.usage), critical=True)
        .add_extension(x509.BasicConstraints(ca=request.usage is Usage.CA, path_length=None), critical=True)
    )
    if request.usage is Usage.CA:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    if extended := extended_usages(request.usage):
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    if request.alternate_names:
        names = dict.fromkeys(alternate_name(text) for text in request.alternate_names)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder


def _sign(builder: x509.CertificateBuilder, *, issuer: x509.Name, key_id: x509.SubjectKeyIdentifier | None, key: PrivateKey) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    builder = builder.issuer_name(issuer)
    if key_id is not None:
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def _subject_key_id(certificate: x509.Certificate) -> x509.SubjectKeyIdentifier | None:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return None


def _subject(request: CertificateRequest) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in request.organization]
        return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, request.common_name)])
    except ValueError as error:
        # RFC 5280: a common name has 1 to 64 characters. Go does not mind; OpenSSL refuses such a certificate.
        raise SpecError(f"certificate subject {request.common_name!r}: {error}") from error


def _key_usage(usage: Usage) -> x509.KeyUsage:
    from cryptography import x509

    wanted = key_usages(usage)
    return x509.KeyUsage(
        digital_signature="digital_signature" in wanted,
        content_commitment=False,
        key_encipherment="key_encipherment" in wanted,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign="key_cert_sign" in wanted,
        crl_sign="crl_sign" in wanted,
        encipher_only=False,
        decipher_only=False,
    )
