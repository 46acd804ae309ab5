from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from agents.errors import NotFoundError
from agents.host.rooted import RootedHost
from agents.pki.expiry import not_after
from agents.pki.keypair import load_certificate
from nodeup.engine.diff import compare
from nodeup.resources.certificate import CERTIFICATES, RENEW_BEFORE, VALIDITY, Certificate, CertificateType, Kubeconfig, validity_on
from tests.fakes.clock import FakeClock
from tests.fakes.run_context import keypair, keyset, run_context

KUBELET = Certificate(
    name="kubelet",
    signer="kubernetes-ca",
    keypair_id="1",
    type=CertificateType.CLIENT,
    common_name="system:node:cp-a",
    organization=("system:nodes",),
    alternate_names=("cp-a", "10.0.0.5"),
)


@pytest.fixture
def host(tmp_path: Path) -> RootedHost:
    return RootedHost(tmp_path)


def issued(host: RootedHost, certificate: Certificate = KUBELET, clock: FakeClock | None = None) -> bytes:
    """Converge the certificate and return its output "cert"."""
    context = run_context(host, keysets={"kubernetes-ca": keyset("1", "2")}, clock=clock)
    actual = certificate.read(host, context)
    if compare(certificate, actual) is not None:
        certificate.apply(host, context, actual)
    assert compare(certificate, certificate.read(host, context)) is None
    return context.output(certificate.id, "cert")


def test_a_certificate_is_kept_and_used_again(host: RootedHost) -> None:
    assert issued(host) == issued(host)


def test_its_key_is_for_root_alone(host: RootedHost) -> None:
    issued(host)

    for suffix in ("key", "crt"):
        stat = host.stat(f"{CERTIFICATES}/kubelet.{suffix}")
        assert stat is not None
        assert stat.mode == 0o600
    directory = host.stat(CERTIFICATES)
    assert directory is not None
    assert directory.mode == 0o700


@pytest.mark.parametrize(
    "change",
    [
        {"common_name": "system:node:cp-b"},
        {"organization": ("system:masters",)},
        {"alternate_names": ("cp-a", "10.0.0.6")},
        {"type": CertificateType.SERVER},
        {"keypair_id": "2"},
    ],
    ids=str,
)
def test_another_request_gets_another_certificate(host: RootedHost, change: dict[str, object]) -> None:
    first = issued(host)
    other = replace(KUBELET, **change)  # type: ignore[arg-type]

    context = run_context(host, keysets={"kubernetes-ca": keyset("1", "2")})
    found = other.read(host, context)
    assert found is not None
    assert found.defect != ""
    with pytest.raises(NotFoundError):
        context.output(other.id, "cert")
    assert issued(host, other) != first


def test_the_key_that_the_configuration_pins_signs_not_the_primary(host: RootedHost) -> None:
    leaf = load_certificate(issued(host, replace(KUBELET, keypair_id="2")))

    leaf.verify_directly_issued_by(load_certificate(keypair("2").certificate_pem))


def test_it_is_renewed_in_its_last_third_and_not_before(host: RootedHost) -> None:
    clock = FakeClock()
    first = issued(host, clock=clock)
    end = not_after(first)
    clock.advance(end - RENEW_BEFORE - clock.now() - timedelta(minutes=1))
    assert issued(host, clock=clock) == first

    clock.advance(timedelta(minutes=2))

    assert issued(host, clock=clock) != first


def test_a_crash_between_key_and_certificate_heals(host: RootedHost) -> None:
    first = issued(host)
    issued(host, replace(KUBELET, name="other"))
    host.write(f"{CERTIFICATES}/kubelet.key", host.read(f"{CERTIFICATES}/other.key"), mode=0o600)

    assert issued(host) != first


def test_a_damaged_certificate_is_replaced(host: RootedHost) -> None:
    issued(host)
    host.write(f"{CERTIFICATES}/kubelet.crt", b"-----BEGIN CERTIFICATE-----\n")

    load_certificate(issued(host))


def test_a_certificate_with_root_has_the_ca_after_a_blank_line(host: RootedHost) -> None:
    cert = issued(host, replace(KUBELET, include_root=True))

    assert cert.endswith(b"-----END CERTIFICATE-----\n\n" + keypair("1").certificate_pem)


def test_validity_is_that_of_kops_and_spread_by_address(host: RootedHost) -> None:
    end = not_after(issued(host))

    assert end == FakeClock().now() + validity_on(("10.0.0.5/24",))
    # FNV-1 of 32 bits of "10.0.0.5/24", modulo 720, computed by hand once.
    assert timedelta() <= validity_on(("10.0.0.5/24",)) - VALIDITY < timedelta(hours=720)
    assert validity_on(()) - VALIDITY == timedelta(hours=2166136261 % 720)
    assert validity_on(("b", "a")) == validity_on(("a", "b"))


def test_a_keyset_that_this_node_does_not_have_cannot_sign(host: RootedHost) -> None:
    with pytest.raises(NotFoundError, match="kubernetes-ca is not in the state store"):
        KUBELET.apply(host, run_context(host), None)


def test_a_kubeconfig_is_made_of_its_certificate(host: RootedHost) -> None:
    context = run_context(host, keysets={"kubernetes-ca": keyset("1")})
    kubeconfig = Kubeconfig(
        name="kubelet", certificate=KUBELET.id, cert_output="cert", key_output="key", ca=None, server_url="https://127.0.0.1"
    )
    assert kubeconfig.read(host, context) is None

    KUBELET.apply(host, context, None)
    assert compare(kubeconfig, kubeconfig.read(host, context)) is None

    document = yaml.safe_load(context.output(kubeconfig.id, "config"))
    assert document["clusters"][0]["cluster"]["server"] == "https://127.0.0.1"
    assert base64.b64decode(document["clusters"][0]["cluster"]["certificate-authority-data"]) == keypair("1").certificate_pem
    assert base64.b64decode(document["users"][0]["user"]["client-key-data"]) == context.output(KUBELET.id, "key")
    assert document["contexts"] == [{"context": {"cluster": "local", "user": "kubelet"}, "name": document["current-context"]}]


def test_a_kubeconfig_uses_the_bundle_that_it_is_given(host: RootedHost) -> None:
    context = run_context(host, keysets={"kubernetes-ca": keyset("1")})
    KUBELET.apply(host, context, None)
    kubeconfig = Kubeconfig(name="a", certificate=KUBELET.id, cert_output="cert", key_output="key", ca=b"bundle", server_url="https://x")

    kubeconfig.read(host, context)

    assert base64.b64encode(b"bundle") in context.output(kubeconfig.id, "config")
