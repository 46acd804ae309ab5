"""Public keys as JSON Web Keys."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from agents.errors import SpecError, VerificationError
from agents.pki.issue import self_signed_ca
from agents.pki.jwk import rsa_public_numbers
from agents.pki.keypair import generate_ec_key, generate_rsa_key, load_certificate
from agents.secret import Secret

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def certificate_of(key: Secret) -> bytes:
    return self_signed_ca("service-account", key=key, not_before=NOW, not_after=NOW + timedelta(days=1))


def test_modulus_and_exponent_are_those_of_the_certificate() -> None:
    pem = certificate_of(generate_rsa_key())
    numbers = rsa_public_numbers(pem)
    modulus = int.from_bytes(base64.urlsafe_b64decode(numbers.n + "=" * (-len(numbers.n) % 4)), "big")
    key = load_certificate(pem).public_key()
    assert isinstance(key, RSAPublicKey)
    assert modulus == key.public_numbers().n
    assert (numbers.e, numbers.common_name) == ("AQAB", "service-account")


def test_a_key_of_another_kind_is_the_operators_mistake() -> None:
    with pytest.raises(SpecError, match="wanted a certificate with an RSA key"):
        rsa_public_numbers(certificate_of(generate_ec_key()))


def test_a_damaged_certificate_is_damaged_data() -> None:
    with pytest.raises(VerificationError):
        rsa_public_numbers(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
