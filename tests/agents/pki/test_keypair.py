from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agents.pki.issue import self_signed_ca
from agents.pki.keypair import belongs, generate_rsa_key, load_private_key
from agents.secret import Secret


def test_a_key_whose_private_half_is_damaged_belongs_to_no_certificate() -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = generate_rsa_key()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = self_signed_ca("a", key=key, not_before=start, not_after=start + timedelta(days=1))
    loaded = load_private_key(key)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    numbers = loaded.private_numbers()
    damaged = rsa.RSAPrivateNumbers(
        p=numbers.p,
        q=numbers.q,
        d=numbers.d,
        dmp1=numbers.dmp1 ^ 4,
        dmq1=numbers.dmq1,
        iqmp=numbers.iqmp,
        public_numbers=numbers.public_numbers,
    ).private_key(unsafe_skip_rsa_key_validation=True)
    pem = Secret(damaged.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))

    assert belongs(certificate, key)
    assert not belongs(certificate, pem)
