from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agents.errors import VerificationError
from agents.pki.issue import self_signed_ca
from agents.pki.keypair import belongs, generate_rsa_key, is_signed_by, load_private_key
from agents.secret import Secret


@pytest.mark.parametrize("number", ["d", "dmp1", "dmq1", "iqmp"])
def test_a_key_with_a_damaged_number_belongs_to_no_certificate(number: str) -> None:
    key = generate_rsa_key()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = self_signed_ca("a", key=key, not_before=start, not_after=start + timedelta(days=1))
    loaded = load_private_key(key)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    private = loaded.private_numbers()
    numbers = {name: getattr(private, name) for name in ("p", "q", "d", "dmp1", "dmq1", "iqmp")}
    numbers[number] ^= 1 << 40
    damaged = rsa.RSAPrivateNumbers(**numbers, public_numbers=private.public_numbers).private_key(unsafe_skip_rsa_key_validation=True)
    pem = Secret(damaged.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))

    assert belongs(certificate, key)
    assert not belongs(certificate, pem)


def test_a_certificate_is_signed_by_any_ca_of_a_bundle_and_by_no_namesake_of_it() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    keys = [generate_rsa_key() for _ in range(3)]
    one, other, namesake = (
        self_signed_ca(name, key=key, not_before=start, not_after=start + timedelta(days=1))
        for name, key in zip(("ca", "other", "ca"), keys, strict=True)
    )

    assert is_signed_by(one, other + one)
    assert not is_signed_by(one, other + namesake)
    assert not is_signed_by(one, b"")
    with pytest.raises(VerificationError):
        is_signed_by(b"no certificate", one)
