"""What is said on the wire: the JSON of a bootstrap request and of its answer. Nothing here is sent or kept.

Source: reference/nodeup.md 1.7.1; byte fields are standard base64, as Go's encoding/json writes them.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.errors import VerificationError
from agents.secret import Secret

API_VERSION = "bootstrap.kops.k8s.io/v1alpha1"

_SPKI = (b"-----BEGIN PUBLIC KEY-----", b"-----END PUBLIC KEY-----")
#: What kops calls the same bytes; the server looks at the name.
_KOPS = (b"-----BEGIN RSA PUBLIC KEY-----", b"-----END RSA PUBLIC KEY-----")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """How kops-controller reaches us, and proves with us that we are at the address that the cloud says."""

    #: For the record; the server dials the address that it has from the cloud.
    endpoint: str
    #: PEM of the certificate that we serve with.
    ca: bytes
    #: Used once.
    id: str
    secret: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapRequest:
    """What is asked for: certificates for these keys, the node's configuration, or both."""

    #: SPKI PEM by certificate name.
    public_keys: Mapping[str, bytes] = field(default_factory=dict)
    #: The key that each signer must have; the server refuses when it has another.
    keypair_ids: Mapping[str, str] = field(default_factory=dict)
    include_node_config: bool = False

    def body(self, challenge: Challenge | None = None) -> bytes:
        """Return the request's bytes, which the token must be made of."""
        document: dict[str, object] = {"apiVersion": API_VERSION}
        if self.public_keys:
            document["certs"] = {name: kops_public_key(pem).decode() for name, pem in sorted(self.public_keys.items())}
            document["keypairIDs"] = dict(sorted(self.keypair_ids.items()))
        if self.include_node_config:
            document["includeNodeConfig"] = True
        if challenge is not None:
            document["challenge"] = {
                "endpoint": challenge.endpoint,
                "ca": _base64(challenge.ca),
                "challengeID": challenge.id,
                "challengeSecret": _base64(challenge.secret.reveal()),
            }
        return json.dumps(document, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """The node's configuration as kops-controller has it."""

    #: nodeup.Config, YAML or JSON; what the hash is of.
    content: bytes
    secrets: Mapping[str, Secret] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapAnswer:
    """What came of a request."""

    #: PEM by name.
    certificates: Mapping[str, bytes] = field(default_factory=dict)
    #: None where none was asked for.
    node_config: NodeConfig | None = None


def parse_answer(body: bytes, request: BootstrapRequest) -> BootstrapAnswer:
    """Return the answer to `request`; VerificationError where it is empty, no JSON, or not what was asked for."""
    if not body.strip():
        raise VerificationError("it answered 200 with nothing in it", code="bootstrap-answer")
    try:
        document = json.loads(body)
    except ValueError as error:
        raise VerificationError(f"it answered 200 with {len(body)} bytes that are no JSON", code="bootstrap-answer") from error
    if not isinstance(document, dict):
        raise VerificationError("it answered 200 with JSON that is no object", code="bootstrap-answer")
    certificates = _texts(_member(document, "certs"), "Certs")
    missing = sorted(set(request.public_keys) - set(certificates))
    if missing:
        raise VerificationError(f"its answer has no certificate {', '.join(missing)}", code="bootstrap-answer")
    config = _node_config(_member(document, "nodeconfig")) if request.include_node_config else None
    return BootstrapAnswer(certificates={name: text.encode() for name, text in certificates.items()}, node_config=config)


def kops_public_key(spki_pem: bytes) -> bytes:
    """Return the same key with kops' PEM type: "RSA PUBLIC KEY", although what is inside is SubjectPublicKeyInfo."""
    return spki_pem.replace(_SPKI[0], _KOPS[0]).replace(_SPKI[1], _KOPS[1])


def _node_config(found: object) -> NodeConfig:
    if not isinstance(found, dict):
        raise VerificationError("its answer has no nodeConfig, which was asked for", code="bootstrap-answer")
    content = _member(found, "nodeupconfig")
    if not isinstance(content, str) or not content.strip():
        raise VerificationError("its answer has an empty nodeConfig.nodeupConfig", code="bootstrap-answer")
    secrets = {}
    for name, text in _texts(_member(found, "nodesecrets"), "nodeConfig.nodeSecrets").items():
        try:
            secrets[name] = Secret(base64.b64decode(text, validate=True))
        except binascii.Error:
            # Without "from": the context would carry the material into a traceback.
            raise VerificationError(f"nodeConfig.nodeSecrets.{name} is no base64", code="bootstrap-answer") from None
    return NodeConfig(content=content.encode(), secrets=secrets)


def _member(document: Mapping[str, object], name: str) -> object:
    """Return a member whatever the case of its name, as Go's decoder does; None where there is none."""
    return next((value for key, value in document.items() if key.lower() == name), None)


def _texts(found: object, where: str) -> dict[str, str]:
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise VerificationError(f"{where} of its answer: wanted names with texts", code="bootstrap-answer")
    return {str(name): str(value) for name, value in found.items() if value}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
