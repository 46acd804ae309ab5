"""Tokens are checked by tests.fakes.node_tokens, which was written from the server's side of the description."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from agents.errors import AgentError, SpecError, TransientError
from agents.pki.keypair import generate_ec_key, generate_rsa_key, public_key_pem
from agents.secret import Secret
from nodeup.bootstrap.aws_sts import AwsCredentials, request_sha, signed_headers, sts_host
from nodeup.bootstrap.tokens import MACHINE_KEY, Authenticator, GceAuthenticator, Machine, authenticator_of
from nodeup.spec.boot import CloudProvider
from tests.fakes.clock import FakeClock
from tests.fakes.host import FakeHost
from tests.fakes.node_tokens import IamKey, Identity, Inventory, NotBelievedError, TakenError

BODY = b'{"apiVersion":"x"}'
CLOCK = FakeClock(datetime(2026, 5, 1, 12, tzinfo=UTC))

AWS = {
    "placement/region": "eu-west-1",
    "iam/security-credentials/": "nodes.c.example.com",
    "iam/security-credentials/nodes.c.example.com": json.dumps(
        {"AccessKeyId": "ASIA1", "SecretAccessKey": "very+secret/", "Token": "session//token==", "Expiration": "2026-05-01T18:00:00Z"}
    ),
}
GCE = {"project/project-id": "p", "instance/zone": "projects/1/zones/eu-1-b", "instance/name": "node-a"}


@dataclass(frozen=True, slots=True)
class FakeMetadata:
    values: Mapping[str, str] = field(default_factory=dict)

    def get(self, path: str) -> str | None:
        if path.startswith("attested/document?nonce="):
            nonce = path.rpartition("=")[2]
            return json.dumps({"encoding": "pkcs7", "signature": base64.b64encode(nonce.encode()).decode()})
        return self.values.get(path)


def authenticator(
    cloud: CloudProvider,
    values: Mapping[str, str] | None = None,
    *,
    host: FakeHost | None = None,
    environment: Mapping[str, str] | None = None,
) -> Authenticator:
    machine = Machine(
        host=host or FakeHost(), metadata=FakeMetadata(values or {}), now=CLOCK.now, hostname="node-1", environment=environment or {}
    )
    return authenticator_of(cloud, machine)


@pytest.fixture
def inventory() -> Inventory:
    found = Inventory(now=CLOCK.now)
    found.iam["ASIA1"] = IamKey(secret="very+secret/", session_token="session//token==", instance_id="i-0abc")
    return found


def believed(inventory: Inventory, token: Secret, body: bytes = BODY, remote: str = "10.0.0.9") -> str:
    return inventory.identify(token.reveal().decode(), body, remote).node_name


def presigned(change: Callable[[str], str]) -> Secret:
    """A version 2 token whose URL was changed after it was signed."""
    token = authenticator(CloudProvider.AWS, AWS, environment={"NODE_AGENTS_AWS_TOKEN": "v2"}).token(BODY)
    scheme, encoded = token.reveal().decode().split(" ")
    document = json.loads(base64.b64decode(encoded))
    document["url"] = change(document["url"])
    return Secret(f"{scheme} {base64.b64encode(json.dumps(document).encode()).decode()}")


def test_the_vector_of_the_reference_holds() -> None:
    credentials = AwsCredentials(access_key_id="fakeaccesskey", secret_access_key=Secret("fakesecretkey"), session_token=None)
    now = datetime(2024, 5, 18, 13, 19, 2, tzinfo=UTC)

    headers = signed_headers(b"test-body", credentials, region="us-east-1", now=now, host="sts.amazonaws.com")

    assert headers["X-Kops-Request-Sha"] == ["2dhlzFTsYGePGxGQhK15rn+TV9HEUZxkV94zFLf7uoo"]
    assert headers["Authorization"][0].endswith("Signature=198684464845d2d52947df10171b6291e1b2223ce4bd82a380087761d91246f9")
    assert "SignedHeaders=content-length;content-type;host;x-amz-date;x-kops-request-sha," in headers["Authorization"][0]
    assert not {"Host", "Content-Length"} & set(headers)


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-1", "sts.eu-west-1.amazonaws.com"),
        ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
        ("us-iso-east-1", "sts.us-iso-east-1.c2s.ic.gov"),
    ],
)
def test_partitions_have_domains_of_their_own(region: str, host: str) -> None:
    assert sts_host(region) == host


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_instance_is_believed_by_aws(inventory: Inventory, version: str) -> None:
    token = authenticator(CloudProvider.AWS, AWS, environment={"NODE_AGENTS_AWS_TOKEN": version}).token(BODY)

    assert token.reveal().startswith(b"x-aws-sts-v2 " if version == "v2" else b"x-aws-sts ")
    assert believed(inventory, token) == "i-0abc"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_token_is_of_no_use_for_another_request(inventory: Inventory, version: str) -> None:
    token = authenticator(CloudProvider.AWS, AWS, environment={"NODE_AGENTS_AWS_TOKEN": version}).token(BODY)

    with pytest.raises(NotBelievedError, match="another request"):
        believed(inventory, token, b"other")


def test_a_token_with_a_wrong_secret_is_not_believed(inventory: Inventory) -> None:
    inventory.iam["ASIA1"] = IamKey(secret="other", session_token="session//token==", instance_id="i-0abc")

    with pytest.raises(NotBelievedError, match="SignatureDoesNotMatch"):
        believed(inventory, authenticator(CloudProvider.AWS, AWS).token(BODY))


def test_a_presigned_url_keeps_the_servers_rules(inventory: Inventory) -> None:
    assert believed(inventory, presigned(lambda url: url)) == "i-0abc"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda url: url.replace("sts.eu-west-1.amazonaws.com", "sts.evil.example"), "invalid STS url"),
        (lambda url: url.replace("amazonaws.com/?", "amazonaws.com/x?"), "invalid STS url"),
        (lambda url: url.replace("https://", "http://"), "invalid STS url"),
        (lambda url: url.replace("GetCallerIdentity", "AssumeRole"), "no GetCallerIdentity"),
        (lambda url: url + "&Action=AssumeRole", "no GetCallerIdentity"),
        (lambda url: url.replace("X-Amz-Expires=900", "X-Amz-Expires=90000"), "valid for too long"),
        (lambda url: url.replace("host%3Bx-kops-request-sha", "host"), "another request"),
        (lambda url: url.replace("X-Amz-Expires=900", "X-Amz-Expires=901").replace("901", "899"), "SignatureDoesNotMatch"),
    ],
    ids=["host", "path", "scheme", "action", "two actions", "expiry", "unsigned hash", "changed"],
)
def test_no_other_presigned_url_is_sent_for_a_stranger(inventory: Inventory, change: Callable[[str], str], complaint: str) -> None:
    with pytest.raises(NotBelievedError, match=complaint):
        believed(inventory, presigned(change))


def test_a_presigned_url_expires(inventory: Inventory) -> None:
    token = presigned(lambda url: url)
    inventory.now = lambda: CLOCK.now() + timedelta(seconds=901)

    with pytest.raises(NotBelievedError, match="expired"):
        believed(inventory, token)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_only_workers_roles_of_the_clusters_account_are_believed(inventory: Inventory, version: str) -> None:
    known = inventory.iam["ASIA1"]
    token = authenticator(CloudProvider.AWS, AWS, environment={"NODE_AGENTS_AWS_TOKEN": version}).token(BODY)

    inventory.iam["ASIA1"] = replace(known, role="masters.c.example.com")
    with pytest.raises(NotBelievedError, match="acceptable node role"):
        believed(inventory, token)
    inventory.iam["ASIA1"] = replace(known, account="210987654321")
    with pytest.raises(NotBelievedError, match="incorrect account"):
        believed(inventory, token)


def test_openstacks_id_proves_nothing_from_elsewhere_or_for_a_node_that_exists(inventory: Inventory) -> None:
    inventory.servers["x-openstack-id", "u-45"] = Identity(node_name="n", addresses=frozenset({"10.0.0.9"}))
    token = authenticator(CloudProvider.OPENSTACK, {"uuid": "u-45"}).token(BODY)

    with pytest.raises(NotBelievedError, match=r"came from 10\.0\.0\.8"):
        believed(inventory, token, remote="10.0.0.8")
    inventory.registered.add("n")
    with pytest.raises(TakenError, match="n is already registered"):
        believed(inventory, token)


def test_the_hash_of_a_request_has_no_padding() -> None:
    assert request_sha(b"test-body") == "2dhlzFTsYGePGxGQhK15rn+TV9HEUZxkV94zFLf7uoo"


def test_an_instance_without_a_role_is_told_so() -> None:
    with pytest.raises(SpecError, match="no IAM role"):
        authenticator(CloudProvider.AWS, {"placement/region": "eu-west-1"}).token(BODY)


def test_credentials_that_are_not_there_yet_are_waited_for_and_never_shown() -> None:
    broken = {**AWS, "iam/security-credentials/nodes.c.example.com": '{"SecretAccessKey": "hunter2"}'}

    with pytest.raises(TransientError, match="no credentials for role") as caught:
        authenticator(CloudProvider.AWS, broken).token(BODY)

    assert "hunter2" not in repr(caught.value)


@pytest.mark.parametrize(
    ("cloud", "values", "scheme", "server"),
    [
        (CloudProvider.DIGITALOCEAN, {"id": "42"}, "x-digitalocean-droplet-id", "42"),
        (CloudProvider.HETZNER, {"instance-id": "43"}, "x-hetzner-id", "43"),
        (CloudProvider.LINODE, {"id": "44"}, "x-linode-instance-id", "44"),
        (CloudProvider.OPENSTACK, {"uuid": "u-45"}, "x-openstack-id", "u-45"),
        (CloudProvider.SCALEWAY, {"id": "u-46"}, "x-scaleway-instance-server-id", "u-46"),
    ],
)
def test_small_clouds_have_the_servers_id(
    inventory: Inventory, cloud: CloudProvider, values: dict[str, str], scheme: str, server: str
) -> None:
    inventory.servers[scheme, server] = Identity(node_name="n", addresses=frozenset({"10.0.0.9"}))

    assert believed(inventory, authenticator(cloud, values).token(BODY)) == "n"
    with pytest.raises(TransientError, match=f"{cloud.value}'s metadata service"):
        authenticator(cloud).token(BODY)


def test_azure_signs_a_nonce_of_the_request(inventory: Inventory) -> None:
    resource = "/subscriptions/s/resourceGroups/g/virtualMachineScaleSets/nodes.c/virtualMachines/0"
    inventory.servers["x-azure-id", resource] = Identity(node_name="nodes-0")
    token = authenticator(CloudProvider.AZURE, {"instance/compute?format=json": json.dumps({"resourceId": resource})}).token(BODY)

    assert believed(inventory, token) == "nodes-0"
    with pytest.raises(NotBelievedError, match="another nonce"):
        believed(inventory, token, b"other")


@pytest.mark.parametrize("text", [None, "", "<html>", "[]", '{"resourceId": ""}'])
def test_azures_metadata_may_be_late(text: str | None) -> None:
    values = {} if text is None else {"instance/compute?format=json": text}

    with pytest.raises(TransientError, match="resourceId"):
        authenticator(CloudProvider.AZURE, values).token(BODY)


def test_an_enrolled_machine_signs_a_claim(inventory: Inventory) -> None:
    key = generate_ec_key()
    inventory.machines["node-1"] = public_key_pem(key)
    token = authenticator(CloudProvider.METAL, host=FakeHost({MACHINE_KEY: key.reveal()})).token(BODY)

    assert believed(inventory, token) == "node-1"
    with pytest.raises(NotBelievedError, match="another request"):
        believed(inventory, token, b"other")


def test_a_claim_is_too_old_after_five_minutes(inventory: Inventory) -> None:
    key = generate_ec_key()
    inventory.machines["node-1"] = public_key_pem(key)
    token = authenticator(CloudProvider.METAL, host=FakeHost({MACHINE_KEY: key.reveal()})).token(BODY)
    inventory.now = lambda: CLOCK.now() + timedelta(seconds=301)

    with pytest.raises(NotBelievedError, match="too old"):
        believed(inventory, token)


def test_an_rsa_key_is_no_machine_key() -> None:
    with pytest.raises(SpecError, match="no EC key"):
        authenticator(CloudProvider.METAL, host=FakeHost({MACHINE_KEY: generate_rsa_key().reveal()})).token(BODY)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"])
def test_a_damaged_machine_key_is_an_error_of_ours(content: bytes) -> None:
    with pytest.raises(AgentError):
        authenticator(CloudProvider.METAL, host=FakeHost({MACHINE_KEY: content})).token(BODY)


@dataclass(frozen=True, slots=True)
class SoftwareKey:
    """Signs as a TPM does, but in software."""

    key: rsa.RSAPrivateKey

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message, padding.PKCS1v15(), SHA256())


def test_a_shielded_instance_signs_a_claim_in_its_tpm(inventory: Inventory) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    inventory.shielded["node-a"] = key.public_key()
    machine = Machine(host=FakeHost(), metadata=FakeMetadata(GCE), now=CLOCK.now, hostname="x", environment={})
    token = GceAuthenticator(machine, SoftwareKey(key)).token(BODY)

    assert believed(inventory, token) == "node-a"
    claim = json.loads(base64.b64decode(json.loads(base64.b64decode(token.reveal().split()[1]))["data"]))
    assert claim["zone"] == "eu-1-b"
    assert claim["audience"] == "kops.k8s.io/node-bootstrap"


def test_tokens_are_not_printable() -> None:
    token = authenticator(CloudProvider.HETZNER, {"instance-id": "43"}).token(BODY)

    assert "43" not in f"{token} {token!r}"
