"""What certificates say, as plain values, for commands that show and judge them."""

from __future__ import annotations

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


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(str(name.value) for name in extension.value)
