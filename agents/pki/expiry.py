"""Whether a certificate still answers its request, and until when. Issuing a new one is in `agents.pki.issue`.

A certificate that still answers is never re-issued: a new one restarts what uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from agents.errors import VerificationError
from agents.pki.issue import CertificateRequest, Usage, alternate_name, extended_usages, key_usages
from agents.pki.keypair import Keypair, belongs, load_certificate
from agents.secret import Secret

if TYPE_CHECKING:
    from cryptography import x509


def not_before(certificate_pem: bytes) -> datetime:
    """Return from when a PEM's first certificate is valid, in UTC; VerificationError where it cannot be read."""
    return load_certificate(certificate_pem).not_valid_before_utc


def not_after(certificate_pem: bytes) -> datetime:
    """Return until when a PEM's first certificate is valid, in UTC; VerificationError where it cannot be read."""
    return load_certificate(certificate_pem).not_valid_after_utc


def renewal_time(certificate_pem: bytes, *, fraction: float = 2 / 3) -> datetime:
    """Return when `fraction` of a certificate's life is over: the time to renew it in a process that keeps running."""
    begin, end = not_before(certificate_pem), not_after(certificate_pem)
    return begin + (end - begin) * fraction


def reason_to_reissue(
    certificate_pem: bytes,
    key: Secret | None,
    request: CertificateRequest,
    *,
    signer: Keypair,
    now: datetime,
    renew_before: timedelta,
) -> str | None:
    """Return why the certificate must be issued anew, as the end of a log line; None while it still answers `request`.

    `key` is the private key that lies beside it, None where there is none. `renew_before` is how long before its end
    it shall be renewed. Names and organizations are compared as sets. Only the signer's certificate is needed, not its key.
    A damaged signer is VerificationError; a damaged certificate or key is a reason.
    """
    issuer = load_certificate(signer.certificate_pem)
    if not certificate_pem or key is None:
        return "there is none" if not certificate_pem else "its key is missing"
    try:
        certificate = load_certificate(certificate_pem)
        if not belongs(certificate_pem, key):
            return "its key is another certificate's"
    except VerificationError as error:
        return f"it cannot be read: {error}"
    reasons = (
        *_time_reasons(certificate, now, renew_before),
        *_signer_reasons(certificate, issuer),
        *_content_reasons(certificate, request),
    )
    return reasons[0] if reasons else None


def _time_reasons(certificate: x509.Certificate, now: datetime, renew_before: timedelta) -> Iterator[str]:
    if now < certificate.not_valid_before_utc:
        yield f"it is not valid before {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
    if now >= certificate.not_valid_after_utc:
        yield f"it expired at {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    elif now + renew_before >= certificate.not_valid_after_utc:
        yield f"it expires at {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"


def _signer_reasons(certificate: x509.Certificate, issuer: x509.Certificate) -> Iterator[str]:
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        yield f"it is not signed by the CA {issuer.subject.rfc4514_string()!r} with serial {issuer.serial_number}"


def _content_reasons(certificate: x509.Certificate, request: CertificateRequest) -> Iterator[str]:
    from cryptography.x509.oid import NameOID

    common_names = [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if common_names != [request.common_name]:
        yield f"its common name is {', '.join(common_names)!r}, wanted {request.common_name!r}"
    organizations = {str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)}
    if organizations != set(request.organization):
        yield f"its organizations are {sorted(organizations)}, wanted {sorted(set(request.organization))}"
    names = _alternate_names(certificate)
    wanted = {str(alternate_name(text).value) for text in request.alternate_names}
    if names != wanted:
        yield f"its alternative names are {sorted(names)}, wanted {sorted(wanted)}"
    if not _may_be_used_for(certificate, request.usage):
        yield f"it may not be used as {request.usage.value} certificate, or also as something else"


def _alternate_names(certificate: x509.Certificate) -> set[str]:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in extension.value}


def _may_be_used_for(certificate: x509.Certificate, usage: Usage) -> bool:
    from cryptography import x509

    try:
        key_usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        extended = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) if extended_usages(usage) else set()
    except x509.ExtensionNotFound:
        return False
    every_usage = ("digital_signature", "key_encipherment", "key_cert_sign", "crl_sign")
    used = frozenset(name for name in every_usage if getattr(key_usage, name))
    return used == key_usages(usage) and constraints.ca is (usage is Usage.CA) and extended == set(extended_usages(usage))
