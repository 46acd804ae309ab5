"""Who this machine is, proven to kops-controller: the Authorization header, made anew of the bytes of every request.

    aws           x-aws-sts                     a GetCallerIdentity that we sign and they send
    gce           x-gce-tpm                     a claim that the virtual TPM signs
    metal         x-pki-tpm                     a claim that the machine's key signs
    azure         x-azure-id                    Azure's signature over a nonce of the request   } and kops-controller
    hetzner, digitalocean, scaleway, linode     the server's id                                 } calls back
    openstack     x-openstack-id                the server's id, from the server's address

Metadata services are asked; clouds' APIs never. Source: reference/nodeup.md 1.7.3.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from agents.clouds.protocol import Metadata
from agents.errors import NotFoundError, SpecError, TransientError
from agents.host.protocol import Host
from agents.secret import Secret
from nodeup.spec.boot import CloudProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nodeup.bootstrap.tpm import AttestationKey

#: What a signed claim is for; another service cannot replay it here, nor we there.
AUDIENCE = "kops.k8s.io/node-bootstrap"

#: Made by `kops toolbox enroll`, whose Host object has its public half.
MACHINE_KEY = "/etc/kubernetes/kops/pki/machine/private.pem"

#: Set to "v2" to send AWS tokens as presigned URLs, which newer servers accept too.
AWS_TOKEN_VARIABLE = "NODE_AGENTS_AWS_TOKEN"  # noqa: S105 - a variable's name

_ID_HEADERS = {
    CloudProvider.DIGITALOCEAN: ("x-digitalocean-droplet-id", "id"),
    CloudProvider.HETZNER: ("x-hetzner-id", "instance-id"),
    CloudProvider.LINODE: ("x-linode-instance-id", "id"),
    CloudProvider.OPENSTACK: ("x-openstack-id", "uuid"),
    CloudProvider.SCALEWAY: ("x-scaleway-instance-server-id", "id"),
}


class Authenticator(Protocol):
    """Makes tokens."""

    def token(self, body: bytes) -> Secret:
        """Return the header's value for a request with this body.

        SpecError where the machine can never prove itself as it is; TransientError while its metadata service does not answer.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What tokens are made from."""

    host: Host
    metadata: Metadata
    now: Callable[[], datetime]
    hostname: str
    environment: Mapping[str, str]


def authenticator_of(cloud: CloudProvider, machine: Machine) -> Authenticator:
    """Return what makes a cloud's tokens; nothing is asked or read yet."""
    match cloud:
        case CloudProvider.AWS:
            return AwsAuthenticator(machine)
        case CloudProvider.GCE:
            return GceAuthenticator(machine)
        case CloudProvider.METAL:
            return MetalAuthenticator(machine)
        case CloudProvider.AZURE:
            return AzureAuthenticator(machine)
        case _:
            return IdAuthenticator(cloud, machine)


class AwsAuthenticator:
    """The instance's role, and with it the instance: its session is named after it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def token(self, body: bytes) -> Secret:
        """Return a GetCallerIdentity request that is bound to the body."""
        from nodeup.bootstrap.aws_sts import instance_credentials, presigned_request, signed_headers

        metadata, environment, now = self._machine.metadata, self._machine.environment, self._machine.now()
        region = metadata.get("placement/region") or environment.get("AWS_REGION", "")
        if not region:
            raise TransientError("the metadata service does not say which region this instance is in")
        credentials = instance_credentials(metadata)
        if environment.get(AWS_TOKEN_VARIABLE) == "v2":
            return _json_token("x-aws-sts-v2", presigned_request(body, credentials, region=region, now=now))
        return _json_token("x-aws-sts", signed_headers(body, credentials, region=region, now=now))


class IdAuthenticator:
    """The server's id alone; that it is ours, the callback or our address shows."""

    def __init__(self, cloud: CloudProvider, machine: Machine) -> None:
        self._header, self._path = _ID_HEADERS[cloud]
        self._cloud = cloud
        self._metadata = machine.metadata

    def token(self, body: bytes) -> Secret:  # noqa: ARG002 - the id is the same for every request
        """Return the id."""
        found = self._metadata.get(self._path)
        if not found:
            raise TransientError(f"{self._cloud.value}'s metadata service does not say which server this is")
        return Secret(f"{self._header} {found}")


class AzureAuthenticator:
    """Azure's attested document, whose nonce is of the request."""

    def __init__(self, machine: Machine) -> None:
        self._metadata = machine.metadata

    def token(self, body: bytes) -> Secret:
        """Return the machine's resource id and the document's signature."""
        from nodeup.bootstrap.azure import attested_document, resource_id

        nonce = hashlib.sha256(body).hexdigest()[:32]
        return Secret(f"x-azure-id {resource_id(self._metadata)} {attested_document(self._metadata, nonce)}")


class MetalAuthenticator:
    """The machine's own key, which an operator enrolled."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def token(self, body: bytes) -> Secret:
        """Return a claim, signed."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256

        from agents.pki.keypair import load_private_key, public_key_pem

        try:
            pem = Secret(self._machine.host.read(MACHINE_KEY))
        except NotFoundError as error:
            hint = "enrol the machine with `kops toolbox enroll`, which makes the key and tells the cluster of it"
            raise SpecError(f"this machine has no machine key at {MACHINE_KEY}", code="bootstrap-no-key", hint=hint) from error
        key = load_private_key(pem)
        if not isinstance(key, EllipticCurvePrivateKey):
            raise SpecError(f"{MACHINE_KEY} is no EC key, and kops-controller accepts no other", code="bootstrap-wrong-key")
        subject = {"instance": self._machine.hostname, "keyID": public_key_pem(pem).decode()}
        claim = _claim(subject, body, self._machine.now())
        return _json_token("x-pki-tpm", {"signature": _base64(key.sign(claim, ECDSA(SHA256()))), "data": _base64(claim)})


class GceAuthenticator:
    """The attestation key of the instance's virtual TPM; its public half is known to Google, who tells kops-controller."""

    def __init__(self, machine: Machine, key: AttestationKey | None = None) -> None:
        self._machine = machine
        self._key = key

    def token(self, body: bytes) -> Secret:
        """Return a claim, signed in the TPM."""
        from nodeup.bootstrap.tpm import TpmDevice, TpmKey

        metadata = self._machine.metadata
        subject = {
            "gcpProjectID": metadata.get("project/project-id") or "",
            "zone": (metadata.get("instance/zone") or "").rsplit("/", 1)[-1],
            "instance": metadata.get("instance/name") or "",
        }
        if not all(subject.values()):
            raise TransientError("Google's metadata service does not say which instance this is")
        claim = _claim(subject, body, self._machine.now())
        key = TpmKey(TpmDevice()) if self._key is None else self._key
        return _json_token("x-gce-tpm", {"signature": _base64(key.sign(claim)), "data": _base64(claim)})


def _claim(subject: Mapping[str, str], body: bytes, now: datetime) -> bytes:
    request_hash = _base64(hashlib.sha256(body).digest())
    return json.dumps({**subject, "requestHash": request_hash, "timestamp": int(now.timestamp()), "audience": AUDIENCE}).encode()


def _json_token(scheme: str, document: object) -> Secret:
    return Secret(f"{scheme} {_base64(json.dumps(document).encode())}")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
