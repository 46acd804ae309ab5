"""The stand-in keeps to the wire description, so that what passes against it can pass against kops-controller."""

from __future__ import annotations

import http.client
import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from agents.pki.keypair import generate_ec_key, generate_rsa_key, load_certificate, public_key_pem
from agents.secret import Secret
from nodeup.bootstrap.messages import API_VERSION, BootstrapRequest, kops_public_key
from nodeup.bootstrap.tokens import MACHINE_KEY, Machine, authenticator_of
from nodeup.spec.boot import CloudProvider
from tests.fakes.clock import FakeClock
from tests.fakes.host import FakeHost
from tests.fakes.issued_certificates import CERTIFICATES, CILIUM_CA, Signer, some_ca, validity_of
from tests.fakes.kops_controller import CILIUM_KEYPAIR_ID, KEYPAIR_ID, KopsController
from tests.fakes.node_tokens import Identity

ROOT = Path(__file__).resolve().parents[2]
CLOCK = FakeClock(datetime(2026, 5, 1, 12, tzinfo=UTC))
KEY = kops_public_key(public_key_pem(generate_rsa_key())).decode()


@pytest.fixture
def controller() -> KopsController:
    found = KopsController(cluster_name="c.example.com", now=CLOCK.now, node_config="a: 1\n")
    found.inventory.servers["x-digitalocean-droplet-id", "1"] = Identity(node_name="node-1", alternate_names=("node-1", "10.0.0.7"))
    found.signers[CILIUM_CA] = Signer(some_ca(CILIUM_CA))
    return found


def ask(controller: KopsController, **document: object) -> tuple[int, dict[str, dict[str, str]]]:
    body = json.dumps({"apiVersion": API_VERSION, **document}).encode()
    reply = controller.reply("x-digitalocean-droplet-id 1", body)
    return reply.status, json.loads(reply.body) if reply.status == 200 else {}


def test_go_clients_that_write_null_are_answered(controller: KopsController) -> None:
    status, answer = ask(controller, certs=None, keypairIDs=None, includeNodeConfig=True)

    assert status == 200
    assert answer["Certs"] == {}
    assert answer["nodeConfig"]["nodeupConfig"] == "a: 1\n"


@pytest.mark.parametrize("name", sorted(CERTIFICATES))
def test_each_certificate_has_the_subject_and_the_signer_of_the_table(controller: KopsController, name: str) -> None:
    status, answer = ask(controller, certs={name: KEY})

    certificate = load_certificate(answer["Certs"][name].encode())
    subjects = {
        "kubelet": "O=system:nodes,CN=system:node:node-1",
        "kubelet-server": "CN=node-1",
        "kube-proxy": "CN=system:kube-proxy",
        "kube-router": "CN=system:kube-router",
        "etcd-client-cilium": "CN=cilium",
    }
    assert status == 200
    assert certificate.subject.rfc4514_string() == subjects[name]
    certificate.verify_directly_issued_by(load_certificate(some_ca(CERTIFICATES[name].signer).certificate_pem))
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH if name == "kubelet-server" else ExtendedKeyUsageOID.CLIENT_AUTH]


def test_only_the_serving_certificate_has_names_and_they_are_the_clouds(controller: KopsController) -> None:
    _, answer = ask(controller, certs={"kubelet-server": KEY, "kubelet": KEY})

    names = load_certificate(answer["Certs"]["kubelet-server"].encode()).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [(type(name), str(name.value)) for name in names.value] == [(x509.DNSName, "node-1"), (x509.IPAddress, "10.0.0.7")]
    with pytest.raises(x509.ExtensionNotFound):
        load_certificate(answer["Certs"]["kubelet"].encode()).extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_certificates_begin_two_days_ago_and_a_fleet_does_not_expire_at_once(controller: KopsController) -> None:
    _, answer = ask(controller, certs={"kubelet": KEY})

    certificate = load_certificate(answer["Certs"]["kubelet"].encode())
    assert certificate.not_valid_before_utc == CLOCK.now() - timedelta(hours=48)
    assert certificate.not_valid_after_utc == CLOCK.now() + validity_of("node-1")
    lives = {validity_of(f"node-{number}") for number in range(50)}
    assert len(lives) > 40
    assert all(timedelta(days=455) <= life < timedelta(days=485) for life in lives)
    # FNV-1 of "a" is 0x050c5d7e
    assert validity_of("a") == timedelta(hours=455 * 24 + 0x050C5D7E % 720)


@pytest.mark.parametrize(
    ("certs", "ids", "status"),
    [
        ({"kubelet": KEY}, {"kubernetes-ca": KEYPAIR_ID}, 200),
        ({"kubelet": KEY}, {}, 200),
        ({"kubelet": KEY}, {"kubernetes-ca": "1"}, 400),
        ({"kubelet": KEY}, {CILIUM_CA: CILIUM_KEYPAIR_ID}, 400),
        ({"etcd-client-cilium": KEY}, {CILIUM_CA: CILIUM_KEYPAIR_ID}, 200),
        ({"etcd-client-cilium": KEY}, {"kubernetes-ca": KEYPAIR_ID}, 400),
        ({"cluster-admin": KEY}, {}, 400),
        ({"kubelet": KEY.replace("RSA PUBLIC", "PUBLIC")}, {}, 400),
        ({"kubelet": ""}, {}, 400),
    ],
    ids=["same", "none", "rotated", "missing", "cilium", "cilium missing", "unknown name", "PEM type", "no PEM"],
)
def test_the_keypair_id_of_each_signer_must_be_the_servers(
    controller: KopsController, certs: dict[str, str], ids: dict[str, str], status: int
) -> None:
    assert ask(controller, certs=certs, keypairIDs=ids)[0] == status


def test_statuses_are_the_documented_ones(controller: KopsController) -> None:
    token = "x-digitalocean-droplet-id 1"
    assert controller.reply("", b"{}").status == 403
    assert controller.reply("x-digitalocean-droplet-id 2", b"{}").body == b"failed to verify token\n"
    assert controller.reply(token, b"{").status == 400
    assert controller.reply(token, b'{"apiVersion": "bootstrap.kops.k8s.io/v2"}').status == 400
    controller.node_config_of = lambda identity: {"nodes": "a: 1"}[identity.instance_group]
    assert ask(controller, includeNodeConfig=True)[0] == 500
    controller.ready.add("node-1")
    assert ask(controller)[0] == 409
    # even a request that is wrong: Ready comes before everything but the token
    assert controller.reply(token, b"{").status == 409


@pytest.fixture
def program(tmp_path: Path) -> Iterator[tuple[str, Path, Path, bytes]]:
    """The stand-in as a program, with an example store: its URL, world, log, and CA."""
    store = tmp_path / "c.example.com"
    argv = [sys.executable, "examples/make_state_store.py", "--cluster", "c.example.com", "--store", f"file://{store}"]
    subprocess.run([*argv, "--boot-config-dir", str(tmp_path / "boot")], cwd=ROOT, check=True, capture_output=True, timeout=60)
    world, log = tmp_path / "world.json", tmp_path / "log.jsonl"
    world.write_text("{}")
    argv = [sys.executable, "-m", "tests.fakes.kops_controller", "--cluster", "c.example.com", "--store", f"file://{store}"]
    process = subprocess.Popen(
        [*argv, "--world", str(world), "--log", str(log), "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        boot = yaml.safe_load((tmp_path / "boot/nodes-main/kube_env.yaml").read_text())
        with process.stdout as lines:
            url = lines.readline().strip()
        yield url, world, log, boot["ConfigServer"]["CACertificates"].encode()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def post(url: str, ca: bytes, token: Secret, body: bytes) -> tuple[int, bytes]:
    context = ssl.create_default_context(cadata=ca.decode())
    port = int(url.rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=20)
    connection.request("POST", "/bootstrap", body=body, headers={"Authorization": token.reveal().decode()})
    with connection.getresponse() as response:
        found = response.status, response.read()
    connection.close()
    return found


def test_the_program_serves_a_store_to_the_world_as_it_is_now(program: tuple[str, Path, Path, bytes]) -> None:
    url, world, log, ca = program
    key = generate_ec_key()
    body = BootstrapRequest(include_node_config=True).body()
    machine = Machine(
        host=FakeHost({MACHINE_KEY: key.reveal()}), metadata=_Nothing(), now=lambda: datetime.now(UTC), hostname="w", environment={}
    )
    token = authenticator_of(CloudProvider.METAL, machine).token(body)

    strange = post(url, ca, token, body)
    world.write_text(json.dumps({"machines": {"w": {"publicKey": public_key_pem(key).decode(), "instanceGroup": "nodes-main"}}}))
    known = post(url, ca, token, body)
    world.write_text(json.dumps({"answer": {"status": 503, "headers": {"Retry-After": "2"}}}))
    away = post(url, ca, token, body)

    assert strange == (403, b"failed to verify token\n")
    assert known[0] == 200
    assert "KubernetesVersion" in json.loads(known[1])["nodeConfig"]["nodeupConfig"]
    assert away == (503, b"")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["status"] for line in lines] == [403, 200, 503]
    assert lines[0]["asked"] == ["configuration"]
    assert "no Host kops-system/w" in lines[0]["why"][0]


class _Nothing:
    def get(self, path: str) -> str | None:
        raise AssertionError(path)
