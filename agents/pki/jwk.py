"""JSON Web Keys: the public RSA key of a certificate as the two numbers that RFC 7518 (section 6.3.1) names n and e."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from agents.errors import SpecError
from agents.pki.keypair import load_certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class RsaPublicNumbers:
    """Modulus and exponent, big-endian, in URL-safe base64 without padding; and whose key it is."""

    n: str
    e: str
    #: The certificate's common name; "" without one.
    common_name: str


def rsa_public_numbers(certificate_pem: bytes) -> RsaPublicNumbers:
    """Return the numbers of a certificate's key; SpecError where it is not an RSA key, VerificationError where it cannot be read."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.x509.oid import NameOID

    certificate = load_certificate(certificate_pem)
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        raise SpecError(f"wanted a certificate with an RSA key, found {type(key).__name__}")
    numbers = key.public_numbers()
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return RsaPublicNumbers(n=_unsigned(numbers.n), e=_unsigned(numbers.e), common_name=str(names[0].value) if names else "")


def _unsigned(number: int) -> str:
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
