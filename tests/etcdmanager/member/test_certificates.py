"""The member's certificates: what they say, that they are re-used, and when they are not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agents.errors import SpecError
from agents.host.local import LocalHost
from agents.pki.keypair import generate_rsa_key, load_certificate
from etcdmanager.member.certificates import (
    CLIENTS_CA,
    MANAGER_CA,
    PEERS_CA,
    CertificateShelf,
    EtcdAuthorities,
    Terms,
    client_pair,
    load_authority,
)
from etcdmanager.member.layout import Layout
from etcdmanager.spec import EtcdNode, KeyKind
from tests.support.members import make_authorities

NODE = EtcdNode(
    name="etcd-a",
    peer_urls=("https://etcd-a.internal:2380",),
    client_urls=("https://etcd-a.internal:4001", "https://10.0.0.9:4001"),
    quarantined_client_urls=("https://fenced.internal:3994",),
)
NOW = datetime.now(UTC).replace(microsecond=0)
YEARS = Terms(lifetime=timedelta(days=730), renew_before=timedelta(days=243), key_kind=KeyKind.EC)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    make_authorities(directory)
    return directory


def authorities(pki: Path) -> EtcdAuthorities:
    host = LocalHost()
    return EtcdAuthorities(peers=load_authority(host, str(pki), PEERS_CA), clients=load_authority(host, str(pki), CLIENTS_CA))


def make(pki: Path, base: Path, *, terms: Terms = YEARS, now: datetime = NOW, node: EtcdNode = NODE) -> dict[str, bytes]:
    CertificateShelf(LocalHost(), terms).etcd(Layout(str(base)), "T", node, address="10.0.0.1", authorities=authorities(pki), now=now)
    return {str(path.relative_to(base / "pki/T")): path.read_bytes() for path in (base / "pki/T").rglob("*.*")}


def names(pem: bytes) -> set[str]:
    extension = load_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in extension}


def test_etcds_certificates_say_what_the_contract_says(pki: Path, tmp_path: Path) -> None:
    files = make(pki, tmp_path)
    assert set(files) == {
        "peers/ca.crt",
        "peers/me.crt",
        "peers/me.key",
        "clients/ca.crt",
        "clients/server.crt",
        "clients/server.key",
    }
    assert names(files["peers/me.crt"]) == {"etcd-a", "etcd-a.internal", "10.0.0.1", "127.0.0.1", "::1"}
    assert names(files["clients/server.crt"]) == {"etcd-a", "etcd-a.internal", "fenced.internal", "10.0.0.9", "127.0.0.1", "::1"}
    for name in ("peers/me.crt", "clients/server.crt"):
        certificate = load_certificate(files[name])
        usages = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        assert usages == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
        assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "etcd-a"
    assert (tmp_path / "pki/T/peers/me.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "pki/T").stat().st_mode & 0o777 == 0o700


def test_certificates_that_still_answer_are_not_issued_again(pki: Path, tmp_path: Path) -> None:
    assert make(pki, tmp_path) == make(pki, tmp_path, now=NOW + timedelta(days=100))


def test_a_certificate_is_renewed_with_its_old_key(pki: Path, tmp_path: Path) -> None:
    before, after = make(pki, tmp_path), make(pki, tmp_path, now=NOW + timedelta(days=500))
    assert before["peers/me.crt"] != after["peers/me.crt"]
    assert before["peers/me.key"] == after["peers/me.key"]


def test_a_new_name_is_a_reason(pki: Path, tmp_path: Path) -> None:
    make(pki, tmp_path)
    other = EtcdNode(name="etcd-a", peer_urls=("https://elsewhere:2380",), client_urls=NODE.client_urls)
    assert "elsewhere" in names(make(pki, tmp_path, node=other)["peers/me.crt"])


def test_a_certificate_never_outlives_its_ca(pki: Path, tmp_path: Path) -> None:
    terms = Terms(lifetime=timedelta(days=36500), renew_before=timedelta(0), key_kind=KeyKind.EC)
    leaf = load_certificate(make(pki, tmp_path, terms=terms)["peers/me.crt"])
    ca = load_certificate((pki / f"{PEERS_CA}.crt").read_bytes())
    assert leaf.not_valid_after_utc == ca.not_valid_after_utc
    assert leaf.not_valid_before_utc == ca.not_valid_before_utc


def test_of_a_bundle_the_certificate_of_the_key_signs_and_all_are_trusted(pki: Path, tmp_path: Path) -> None:
    make_authorities(tmp_path)
    bundle = (tmp_path / f"{MANAGER_CA}.crt").read_bytes() + (pki / f"{MANAGER_CA}.crt").read_bytes()
    (tmp_path / f"{MANAGER_CA}.crt").write_bytes(bundle)
    (tmp_path / f"{MANAGER_CA}.key").write_bytes((pki / f"{MANAGER_CA}.key").read_bytes())
    authority = load_authority(LocalHost(), str(tmp_path), MANAGER_CA)
    assert authority.bundle == bundle
    server, client = CertificateShelf(LocalHost(), YEARS).manager(authority, pki_dir=str(tmp_path), peer_id="vol-1.x", now=NOW)
    load_certificate(server.certificate).verify_directly_issued_by(load_certificate((pki / f"{MANAGER_CA}.crt").read_bytes()))
    assert names(server.certificate) == {"etcd-manager-server-vol-1.x"}
    assert load_certificate(client.certificate).subject.rfc4514_string() == "CN=etcd-manager-client-vol-1.x"


def test_a_ca_whose_key_is_anothers_is_refused(tmp_path: Path) -> None:
    make_authorities(tmp_path)
    (tmp_path / f"{MANAGER_CA}.key").write_bytes(generate_rsa_key().reveal())
    with pytest.raises(SpecError, match="fits the key"):
        load_authority(LocalHost(), str(tmp_path), MANAGER_CA)


def test_the_managers_own_client_certificate_is_named_for_it(pki: Path) -> None:
    pair = client_pair(authorities(pki).clients, "etcd-a", now=NOW, lifetime=timedelta(days=1))
    assert load_certificate(pair.certificate_pem).subject.rfc4514_string() == "CN=etcd-manager-etcd-a"
