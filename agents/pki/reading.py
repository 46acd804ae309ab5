"""What certificates say, as plain values, and whether one signed another; for commands that show and judge them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from agents.errors import VerificationError
from agents.pki.keypair import load_certificates

if TYPE_CHECKING:
    from cryptography import x509


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """One certificate. Names are alternative names; addresses are in their shortest form."""

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]


def facts_in(pem: bytes) -> tuple[CertificateFacts, ...]:
    """Return all certificates of a PEM bundle, in its order; VerificationError where there is none, or one is damaged."""
    found = load_certificates(pem)
    if not found:
        raise VerificationError("it holds no certificate", code="certificate-unreadable")
    return tuple(
        CertificateFacts(
            subject=one.subject.rfc4514_string(),
            issuer=one.issuer.rfc4514_string(),
            not_before=one.not_valid_before_utc,
            not_after=one.not_valid_after_utc,
            names=_names(one),
        )
        for one in found
    )


def is_signed_by(pem: bytes, authorities: bytes) -> bool:
    """Return whether one of a bundle's certificates signed the first one of `pem`; VerificationError where either is damaged."""
    certificates = load_certificates(pem)
    return bool(certificates) and _is_signed(certificates[0], load_certificates(authorities))


def _is_signed(certificate: x509.Certificate, issuers: Sequence[x509.Certificate]) -> bool:
    from cryptography.exceptions import InvalidSignature

    for issuer in issuers:
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(str(name.value) for name in extension.value)
