"""The registration of a control-plane node with a discovery service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.errors import AccessError, SpecError, TransientError
from agents.pki.issue import CertificateRequest, Usage, issue, self_signed_ca
from agents.pki.keypair import Keypair, generate_rsa_key
from agents.secret import Secret
from nodeup.discovery import register
from nodeup.engine.context import EngineContext
from nodeup.resources.cloud import DiscoveryRegistration
from tests.fakes.discovery_service import discovery_service
from tests.fakes.host import FakeHost
from tests.fakes.run_context import run_context


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Files of the service, and the certificate, authority and key of node-1."""

    server: Path
    server_key: Path
    clients_ca: Path
    certificate: bytes
    ca: bytes
    key: bytes


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    directory = tmp_path_factory.mktemp("pki")
    start, end = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)
    ca_key, server_key, client_key = (generate_rsa_key() for _ in range(3))
    ca = Keypair(certificate_pem=self_signed_ca("discovery-ca", key=ca_key, not_before=start, not_after=end), key=ca_key)

    def issued(name: str, usage: Usage, key: Secret) -> bytes:
        request = CertificateRequest(common_name=name, alternate_names=("127.0.0.1",), usage=usage)
        return issue(request, signer=ca, key=key, not_before=start, not_after=end)

    (directory / "server.crt").write_bytes(issued("server", Usage.SERVER, server_key))
    (directory / "server.key").write_bytes(server_key.reveal())
    (directory / "ca.crt").write_bytes(ca.certificate_pem)
    return Material(
        server=directory / "server.crt",
        server_key=directory / "server.key",
        clients_ca=directory / "ca.crt",
        certificate=issued("node-1", Usage.CLIENT, client_key),
        ca=ca.certificate_pem,
        key=client_key.reveal(),
    )


@pytest.fixture(autouse=True)
def _public_authorities(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the test's authority one of those that the machine trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(material.clients_ca))


def registration(url: str, *, kid: str = "7") -> DiscoveryRegistration:
    return DiscoveryRegistration(
        name="register",
        url=url,
        namespace="c-example-com",
        object_name="node-1",
        certificate="certificate:discovery-service-client",
        keys=((kid, "n7", "AQAB"),),
    )


def context_with(material: Material, host: FakeHost) -> EngineContext:
    context = run_context(host)
    outputs = {"cert": material.certificate, "ca": material.ca, "key": material.key}
    context.keep_outputs("certificate:discovery-service-client", outputs)
    return context


def test_the_keys_of_service_accounts_are_registered_under_the_nodes_name(material: Material) -> None:
    host = FakeHost()
    context = context_with(material, host)
    with discovery_service(certificate=material.server, key=material.server_key, clients_ca=material.clients_ca) as service:
        wanted = registration(service.url)
        assert wanted.read(host, context) is None
        wanted.apply(host, context, None)
    assert wanted.read(host, context) == wanted
    key = {"use": "sig", "kty": "RSA", "kid": "7", "alg": "RS256", "n": "n7", "e": "AQAB"}
    assert service.endpoints == {
        ("c-example-com", "node-1"): {
            "apiVersion": "discovery.kops.k8s.io/v1alpha1",
            "kind": "DiscoveryEndpoint",
            "metadata": {"name": "node-1", "namespace": "c-example-com"},
            "spec": {"oidc": {"keys": [key]}},
        }
    }


def test_other_keys_are_registered_again(material: Material) -> None:
    host = FakeHost()
    context = context_with(material, host)
    with discovery_service(certificate=material.server, key=material.server_key, clients_ca=material.clients_ca) as service:
        registration(service.url).apply(host, context, None)
        assert registration(service.url, kid="8").read(host, context) is None


@pytest.mark.parametrize(("status", "error"), [(401, AccessError), (403, AccessError), (500, TransientError)])
def test_refusals_say_who_must_act(material: Material, status: int, error: type[Exception]) -> None:
    with (
        discovery_service(certificate=material.server, key=material.server_key, clients_ca=material.clients_ca, status=status) as service,
        pytest.raises(error, match=f"answered {status}: not now"),
    ):
        register(service.url, registration("").document(), certificate=material.certificate, key=material.key)


def test_a_service_that_no_public_authority_vouches_for_is_not_told_anything(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with (
        discovery_service(certificate=material.server, key=material.server_key, clients_ca=material.clients_ca) as service,
        pytest.raises(TransientError, match="certificate verify failed"),
    ):
        register(service.url, registration("").document(), certificate=material.certificate, key=material.key)
    assert service.endpoints == {}


@pytest.mark.parametrize("url", ["", "http://discovery.example.com/u", "discovery.example.com"])
def test_a_url_that_is_none_is_a_mistake_of_the_specification(material: Material, url: str) -> None:
    with pytest.raises(SpecError, match="discoveryServiceWithUniverse"):
        register(url, registration("").document(), certificate=material.certificate, key=material.key)
