"""Issuing certificates, and judging whether one still answers."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from agents.errors import InvariantError, SpecError, VerificationError
from agents.pki.expiry import not_after, reason_to_reissue, renewal_time
from agents.pki.issue import CertificateRequest, Usage, issue, self_signed_ca
from agents.pki.keypair import Keypair, belongs, generate_ec_key, generate_rsa_key, load_certificates, load_private_key, public_key_pem
from agents.secret import Secret

NOW = datetime(2026, 8, 22, 12, tzinfo=UTC)
YEAR = timedelta(days=365)
REQUEST = CertificateRequest(
    common_name="kubelet-api",
    organization=("system:masters",),
    alternate_names=("api.internal.example.com", "10.0.0.1", "2001:db8::0:1"),
    usage=Usage.CLIENT_SERVER,
)


def _ca(name: str = "kubernetes-ca") -> Keypair:
    key = generate_ec_key()
    return Keypair(certificate_pem=self_signed_ca(name, key=key, not_before=NOW - YEAR, not_after=NOW + 10 * YEAR), key=key)


@pytest.fixture(scope="module")
def ca() -> Keypair:
    return _ca()


@pytest.fixture(scope="module")
def leaf(ca: Keypair) -> Keypair:
    key = generate_ec_key()
    return Keypair(certificate_pem=_issue(REQUEST, ca, key), key=key)


def _issue(request: CertificateRequest, ca: Keypair, key: Secret) -> bytes:
    return issue(request, signer=ca, key=key, not_before=NOW - timedelta(hours=48), not_after=NOW + YEAR)


def _reason(leaf: Keypair, ca: Keypair, request: CertificateRequest = REQUEST, *, now: datetime = NOW) -> str | None:
    return reason_to_reissue(leaf.certificate_pem, leaf.key, request, signer=ca, now=now, renew_before=timedelta(days=30))


def test_an_rsa_key_is_pkcs1_and_an_ec_key_is_sec1() -> None:
    assert generate_rsa_key(2048).reveal().startswith(b"-----BEGIN RSA PRIVATE KEY-----\n")
    assert generate_ec_key().reveal().startswith(b"-----BEGIN EC PRIVATE KEY-----\n")


def test_blocks_before_the_private_key_are_skipped() -> None:
    key = generate_ec_key()
    prefixed = Secret(b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + key.reveal())
    assert public_key_pem(prefixed) == public_key_pem(key)


@pytest.mark.parametrize(
    "damaged", [b"", b"text", b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"], ids=["empty", "text", "broken"]
)
def test_a_damaged_key_is_a_verification_error_that_shows_nothing_of_it(damaged: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        load_private_key(Secret(damaged))
    assert "AAAA" not in str(caught.value)


def test_openssl_accepts_the_certificate_for_every_name(ca: Keypair, leaf: Keypair, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(ca.certificate_pem)
    (tmp_path / "leaf.pem").write_bytes(leaf.certificate_pem)
    at = str(int(NOW.timestamp()))
    for check in (["-verify_hostname", "api.internal.example.com"], ["-verify_ip", "10.0.0.1"], ["-verify_ip", "2001:db8::1"]):
        for purpose in ("sslclient", "sslserver"):
            argv = ["openssl", "verify", "-attime", at, "-purpose", purpose, *check, "-CAfile", "ca.pem", "leaf.pem"]
            assert subprocess.run(argv, cwd=tmp_path, capture_output=True, check=False).returncode == 0, argv


@pytest.mark.parametrize("usage", list(Usage), ids=lambda usage: usage.value)
def test_a_certificate_of_every_usage_answers_its_own_request_and_no_other(ca: Keypair, usage: Usage) -> None:
    key = generate_ec_key()
    request = replace(REQUEST, usage=usage)
    leaf = Keypair(certificate_pem=_issue(request, ca, key), key=key)
    assert _reason(leaf, ca, request) is None
    for other in set(Usage) - {usage}:
        assert _reason(leaf, ca, replace(request, usage=other)) is not None


def test_serials_are_random(ca: Keypair) -> None:
    key = generate_ec_key()
    assert len({x509.load_pem_x509_certificate(_issue(REQUEST, ca, key)).serial_number for _ in range(5)}) == 5


def test_a_signer_whose_key_is_another_is_refused(ca: Keypair) -> None:
    with pytest.raises(VerificationError, match="not that of its certificate"):
        _issue(REQUEST, replace(ca, key=generate_ec_key()), generate_ec_key())


def test_a_certificate_that_would_end_before_it_begins_is_a_bug(ca: Keypair) -> None:
    with pytest.raises(InvariantError):
        issue(REQUEST, signer=ca, key=generate_ec_key(), not_before=NOW, not_after=NOW)


@pytest.mark.parametrize(
    "request_", [replace(REQUEST, common_name="x" * 65), replace(REQUEST, alternate_names=("bücher.example",))], ids=["long", "umlaut"]
)
def test_names_that_no_certificate_can_hold_are_the_operators_error(ca: Keypair, request_: CertificateRequest) -> None:
    with pytest.raises(SpecError):
        _issue(request_, ca, generate_ec_key())


def test_a_certificate_that_still_answers_is_kept(ca: Keypair, leaf: Keypair) -> None:
    assert _reason(leaf, ca) is None


def test_the_order_and_spelling_of_names_does_not_matter(ca: Keypair, leaf: Keypair) -> None:
    assert _reason(leaf, ca, replace(REQUEST, alternate_names=("2001:db8::1", "10.0.0.1", "api.internal.example.com", "10.0.0.1"))) is None


def test_only_the_first_certificate_of_a_chain_counts(ca: Keypair, leaf: Keypair) -> None:
    chain = replace(leaf, certificate_pem=leaf.certificate_pem + b"\n" + ca.certificate_pem)
    assert len(load_certificates(chain.certificate_pem)) == 2
    assert _reason(chain, ca) is None


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (replace(REQUEST, common_name="kubelet"), "common name"),
        (replace(REQUEST, organization=()), "organizations"),
        (replace(REQUEST, alternate_names=(*REQUEST.alternate_names, "10.0.0.2")), "alternative names"),
        (replace(REQUEST, alternate_names=REQUEST.alternate_names[1:]), "alternative names"),
    ],
    ids=["common-name", "organization", "name-missing", "name-too-many"],
)
def test_a_certificate_that_says_something_else_is_reissued(
    ca: Keypair, leaf: Keypair, request_: CertificateRequest, expected: str
) -> None:
    assert expected in (_reason(leaf, ca, request_) or "")


def test_a_certificate_of_another_ca_with_the_same_name_is_reissued(leaf: Keypair) -> None:
    assert "not signed by" in (_reason(leaf, _ca()) or "")


def test_a_certificate_is_reissued_in_time_and_not_before(ca: Keypair, leaf: Keypair) -> None:
    end = not_after(leaf.certificate_pem)
    assert _reason(leaf, ca, now=end - timedelta(days=30, seconds=1)) is None
    assert "expires at" in (_reason(leaf, ca, now=end - timedelta(days=30)) or "")
    assert "expired at" in (_reason(leaf, ca, now=end) or "")
    assert "not valid before" in (_reason(leaf, ca, now=NOW - timedelta(days=3)) or "")


def test_a_missing_or_damaged_or_foreign_key_is_a_reason(ca: Keypair, leaf: Keypair) -> None:
    assert _reason(replace(leaf, key=generate_ec_key()), ca) == "its key is another certificate's"
    assert "cannot be read" in (_reason(replace(leaf, key=Secret(b"x")), ca) or "")
    assert "cannot be read" in (_reason(replace(leaf, certificate_pem=b"x"), ca) or "")
    assert reason_to_reissue(leaf.certificate_pem, None, REQUEST, signer=ca, now=NOW, renew_before=YEAR) == "its key is missing"
    assert reason_to_reissue(b"", leaf.key, REQUEST, signer=ca, now=NOW, renew_before=YEAR) == "there is none"


def test_renewal_comes_after_two_thirds_of_the_life(leaf: Keypair) -> None:
    begin, end = NOW - timedelta(hours=48), NOW + YEAR
    assert abs(renewal_time(leaf.certificate_pem) - (begin + (end - begin) * 2 / 3)) < timedelta(seconds=1)


def test_a_key_belongs_to_its_certificate_only(ca: Keypair, leaf: Keypair) -> None:
    assert belongs(leaf.certificate_pem, leaf.key)
    assert not belongs(leaf.certificate_pem, ca.key)
