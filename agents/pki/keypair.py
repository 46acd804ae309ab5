"""Private keys and certificates as PEM: making keys, reading them, and the pair of both. Issuing is in `agents.pki.issue`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agents.errors import VerificationError
from agents.secret import Secret

# cryptography costs 42 ms of a start-up budget of 150: it is imported by the functions that use it.
if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

    PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey

#: PKCS#1, SEC1 and PKCS#8; other blocks before them ("EC PARAMETERS") are skipped, as kops does.
_KEY_BLOCK = re.compile(rb"-----BEGIN ((?:RSA |EC )?PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
_CERTIFICATE_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keypair:
    """A certificate (PEM; the first block counts) and its private key."""

    certificate_pem: bytes
    key: Secret


def generate_rsa_key(bits: int = 2048) -> Secret:
    """Return a new RSA key as PKCS#1 PEM, the form that kops and etcd-manager write."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return _traditional_pem(rsa.generate_private_key(public_exponent=65537, key_size=bits))


def generate_ec_key() -> Secret:
    """Return a new P-256 key as SEC1 PEM; for leaves. Made in well under a millisecond, where RSA takes tens to hundreds."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return _traditional_pem(ec.generate_private_key(ec.SECP256R1()))


def load_private_key(key: Secret, *, validated: bool = True) -> PrivateKey:
    """Return the first private key of a PEM; VerificationError where there is none, or it is damaged or neither RSA nor EC.

    An RSA key's numbers are `validated` against each other, which takes 40 ms; without it a damaged key may be returned.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    block = _KEY_BLOCK.search(key.reveal())
    if block is None:
        raise VerificationError("wanted a private key in PEM, found no such block", code="key-unreadable")
    try:
        loaded = load_pem_private_key(block[0], password=None, unsafe_skip_rsa_key_validation=not validated)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise VerificationError("the private key's PEM block is damaged or encrypted", code="key-unreadable") from error
    if not isinstance(loaded, RSAPrivateKey | EllipticCurvePrivateKey):
        raise VerificationError(f"wanted an RSA or EC key, found {type(loaded).__name__}", code="key-unreadable")
    return loaded


def load_certificate(pem: bytes) -> Certificate:
    """Return the first certificate of a PEM; VerificationError where there is none or it is damaged."""
    certificates = load_certificates(pem)
    if not certificates:
        raise VerificationError("wanted a certificate in PEM, found no such block", code="certificate-unreadable")
    return certificates[0]


def load_certificates(pem: bytes) -> tuple[Certificate, ...]:
    """Return all certificates of a PEM bundle, in its order; other text is skipped. VerificationError where one is damaged."""
    from cryptography import x509

    try:
        return tuple(x509.load_pem_x509_certificate(block) for block in _CERTIFICATE_BLOCK.findall(pem))
    except ValueError as error:
        raise VerificationError(f"a certificate's PEM block is damaged: {error}", code="certificate-unreadable") from error


def public_key_pem(key: Secret) -> bytes:
    """Return the public half of a private key as SPKI PEM ("PUBLIC KEY")."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return load_private_key(key).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def belongs(certificate_pem: bytes, key: Secret) -> bool:
    """Return whether a certificate is of this private key; VerificationError where either cannot be read.

    An RSA key's numbers must fit together, so that a damaged key belongs to nothing; only that its primes are primes is
    not proven again, which would take 40 ms: nodeup asks this for fifteen certificates in every plan.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    private, public = load_private_key(key, validated=False), load_certificate(certificate_pem).public_key()
    if isinstance(private, RSAPrivateKey) and not _fits_together(private):
        return False
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return private.public_key().public_bytes(*form) == public.public_bytes(*form)


def is_signed_by(certificate_pem: bytes, authorities: bytes) -> bool:
    """Return whether one of the certificates of a bundle signed a certificate; VerificationError where either cannot be read."""
    from cryptography.exceptions import InvalidSignature

    certificate = load_certificate(certificate_pem)
    for issuer in load_certificates(authorities):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


def _fits_together(key: RSAPrivateKey) -> bool:
    """Return whether the numbers of an RSA key are those of its primes (RFC 8017, section 3.2)."""
    numbers = key.private_numbers()
    public = numbers.public_numbers
    p, q, d = numbers.p, numbers.q, numbers.d
    return (
        min(p, q) > 1
        and p * q == public.n
        and public.e * d % (p - 1) == public.e * d % (q - 1) == 1
        and (numbers.dmp1, numbers.dmq1) == (d % (p - 1), d % (q - 1))
        and numbers.iqmp * q % p == 1
    )


def _traditional_pem(key: PrivateKey) -> Secret:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return Secret(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
