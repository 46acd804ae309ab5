"""How kops-controller checks a node's token, written from reference/nodeup.md 1.7.3 and not from our own code that makes them.

Clouds are stood in for by tables: which keys IAM has, which servers exist, where they are.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

SKEW = timedelta(seconds=300)
STS_BODY = "Action=GetCallerIdentity&Version=2011-06-15"


#: STS accepts a presigned URL for as long as it says, and for no more than this.
LONGEST_PRESIGNED = timedelta(minutes=15)


class NotBelievedError(Exception):
    """The token does not verify; the text is for the server's log only."""


class TakenError(Exception):
    """The cloud knows that this server's name is registered as a Node already, Ready or not (OpenStack)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a node is."""

    node_name: str
    alternate_names: tuple[str, ...] = ()
    #: From the cloud's tags, or the Host object; "" where a test has one group only.
    instance_group: str = ""
    #: Where to call back, at the address that the cloud has; None in clouds that need no callback.
    callback_port: int | None = None
    callback_address: str = "127.0.0.1"
    #: Where its requests must come from; empty where that proves nothing.
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class IamKey:
    """An instance role's key, as AWS knows it."""

    secret: str
    session_token: str
    instance_id: str
    role: str = "nodes.c.example.com"
    account: str = "123456789012"
    instance_group: str = ""
    #: Private names and addresses, as DescribeInstances has them.
    names: tuple[str, ...] = ("10.0.0.7",)


@dataclass(slots=True, kw_only=True)
class Inventory:
    """What the clouds know."""

    now: Callable[[], datetime]
    region: str = "eu-west-1"
    account: str = "123456789012"
    #: The IAM roles that workers may have.
    node_roles: frozenset[str] = frozenset({"nodes.c.example.com"})
    iam: dict[str, IamKey] = field(default_factory=dict)
    #: Public keys (PEM) of enrolled machines by hostname.
    machines: dict[str, bytes] = field(default_factory=dict)
    #: Attestation keys by instance name.
    shielded: dict[str, rsa.RSAPublicKey] = field(default_factory=dict)
    #: Instance groups of enrolled machines, and of shielded instances, by name.
    instance_groups: dict[str, str] = field(default_factory=dict)
    #: Servers by token scheme and id.
    servers: dict[tuple[str, str], Identity] = field(default_factory=dict)
    #: Names of Nodes that exist, Ready or not; only OpenStack's verifier looks.
    registered: set[str] = field(default_factory=set)

    def identify(self, token: str, body: bytes, remote: str = "") -> Identity:
        """Return who sent `body` from the address `remote`; NotBelievedError, TakenError."""
        scheme, _, rest = token.partition(" ")
        match scheme:
            case "x-aws-sts":
                return self._aws_v1(_json(rest), body)
            case "x-aws-sts-v2":
                return self._aws_v2(_json(rest), body)
            case "x-pki-tpm":
                return self._metal(_json(rest), body)
            case "x-gce-tpm":
                return self._gce(_json(rest), body)
            case "x-azure-id":
                return self._azure(rest, body)
            case _ if (scheme, rest) in self.servers:
                return self._looked_up(scheme, self.servers[scheme, rest], remote)
            case _:
                raise NotBelievedError(f"unknown {scheme} {rest}")

    def _looked_up(self, scheme: str, found: Identity, remote: str) -> Identity:
        if scheme == "x-openstack-id":
            if remote not in found.addresses:
                raise NotBelievedError(f"the request came from {remote}, and the server has {', '.join(sorted(found.addresses))}")
            if found.node_name in self.registered:
                raise TakenError(f"node {found.node_name} is already registered")
        return found

    def _aws_v1(self, document: object, body: bytes) -> Identity:
        """Do what STS does with the request that kops-controller would send: sign it again and compare."""
        headers = {name.lower(): values[0] for name, values in _mapping(document).items()}
        if headers["x-kops-request-sha"] != _sha(body):
            raise NotBelievedError("the token is for another request")
        headers |= {"host": f"sts.{self.region}.amazonaws.com", "content-length": str(len(STS_BODY))}
        fields = dict(part.strip().split("=", 1) for part in headers["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(","))
        names = fields["SignedHeaders"]
        if "x-kops-request-sha" not in names.split(";"):
            raise NotBelievedError("the request's hash is not signed")
        canonical = "\n".join(
            ("POST", "/", "", *(f"{name}:{headers[name]}" for name in names.split(";")), "", names, _hex(STS_BODY.encode()))
        )
        return self._signed_by(fields["Credential"], canonical, fields["Signature"], headers["x-amz-date"], headers["x-amz-security-token"])

    def _aws_v2(self, document: object, body: bytes) -> Identity:
        """Look whether it is a request that may be sent for a stranger, and then do what STS does with it."""
        request = _mapping(document)
        headers = {name.lower(): values[0] for name, values in request["headers"].items()}
        where = urllib.parse.urlsplit(request["url"])
        pairs = urllib.parse.parse_qsl(where.query, keep_blank_values=True)
        query = dict(pairs)
        if (where.scheme, where.netloc, where.path) != ("https", f"sts.{self.region}.amazonaws.com", "/"):
            raise NotBelievedError(f"invalid STS url: host={where.netloc}, path={where.path}")
        if [value for name, value in pairs if name == "Action"] != ["GetCallerIdentity"] or request["method"] != "GET":
            raise NotBelievedError("that is no GetCallerIdentity")
        names = query["X-Amz-SignedHeaders"]
        if headers["x-kops-request-sha"] != _sha(body) or "x-kops-request-sha" not in names.split(";"):
            raise NotBelievedError("the token is for another request")
        expires = timedelta(seconds=int(query["X-Amz-Expires"]))
        signed_at = _amz_time(query["X-Amz-Date"])
        if expires > LONGEST_PRESIGNED or self.now() > signed_at + expires:
            raise NotBelievedError(f"the URL expired, or is valid for too long ({expires})")
        signature = query.pop("X-Amz-Signature")
        # STS is sent what is in the URL, its own host, and the headers that came with the token
        headers["host"] = where.netloc
        canonical_query = urllib.parse.urlencode(sorted(query.items()), quote_via=urllib.parse.quote, safe="")
        canonical = "\n".join(
            ("GET", "/", canonical_query, *(f"{name}:{headers[name]}" for name in names.split(";")), "", names, _hex(b""))
        )
        return self._signed_by(query["X-Amz-Credential"], canonical, signature, query["X-Amz-Date"], query["X-Amz-Security-Token"])

    def _signed_by(self, credential: str, canonical: str, signature: str, date: str, token: str) -> Identity:
        key_id, _, scope = credential.partition("/")
        known = self.iam.get(key_id)
        if known is None or known.session_token != token:
            raise NotBelievedError(f"unknown key {key_id}")
        if abs(_amz_time(date) - self.now()) > timedelta(minutes=15):
            raise NotBelievedError(f"the signature is of {date}")
        if scope != f"{date[:8]}/{self.region}/sts/aws4_request":
            raise NotBelievedError(f"the signature's scope is {scope}")
        key = f"AWS4{known.secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        to_sign = "\n".join(("AWS4-HMAC-SHA256", date, scope, _hex(canonical.encode())))
        if not hmac.compare_digest(hmac.digest(key, to_sign.encode(), "sha256").hex(), signature):
            raise NotBelievedError("SignatureDoesNotMatch")
        return self._caller(known, f"arn:aws:sts::{known.account}:assumed-role/{known.role}/{known.instance_id}")

    def _caller(self, known: IamKey, arn: str) -> Identity:
        """Do what kops-controller does with STS's answer, and with DescribeInstances."""
        if known.account != self.account:
            raise NotBelievedError(f"incorrect account {known.account}")
        _, role, instance_id = arn.rpartition(":")[2].split("/")
        if role not in self.node_roles:
            raise NotBelievedError(f"{arn} does not contain acceptable node role")
        return Identity(node_name=instance_id, alternate_names=(instance_id, *known.names), instance_group=known.instance_group)

    def _metal(self, document: object, body: bytes) -> Identity:
        claim, signature, data = self._claim(document, body)
        registered = self.machines.get(claim["instance"])
        if registered is None or claim["keyID"] != registered.decode():
            raise NotBelievedError(f"no Host kops-system/{claim['instance']} with this key")
        key = load_pem_public_key(registered)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        try:
            key.verify(signature, data, ec.ECDSA(SHA256()))
        except InvalidSignature as error:
            raise NotBelievedError("the claim's signature does not verify") from error
        return Identity(node_name=claim["instance"], instance_group=self.instance_groups.get(claim["instance"], ""))

    def _gce(self, document: object, body: bytes) -> Identity:
        claim, signature, data = self._claim(document, body)
        if claim["instance"] not in self.shielded or not claim["gcpProjectID"] or not claim["zone"]:
            raise NotBelievedError(f"no shielded instance {claim['instance']}")
        try:
            self.shielded[claim["instance"]].verify(signature, data, padding.PKCS1v15(), SHA256())
        except InvalidSignature as error:
            raise NotBelievedError("the claim's signature does not verify") from error
        group = self.instance_groups.get(claim["instance"], "")
        return Identity(node_name=claim["instance"], alternate_names=(claim["instance"],), instance_group=group)

    def _claim(self, document: object, body: bytes) -> tuple[dict[str, str], bytes, bytes]:
        envelope = _mapping(document)
        signature, data = base64.b64decode(envelope["signature"]), base64.b64decode(envelope["data"])
        claim = json.loads(data)
        if claim["audience"] != "kops.k8s.io/node-bootstrap":
            raise NotBelievedError("the claim is for somebody else")
        if base64.b64decode(claim["requestHash"]) != hashlib.sha256(body).digest():
            raise NotBelievedError("the claim is for another request")
        if abs(datetime.fromtimestamp(claim["timestamp"], UTC) - self.now()) > SKEW:
            raise NotBelievedError("the claim is too old, or of the future")
        return claim, signature, data

    def _azure(self, rest: str, body: bytes) -> Identity:
        """Azure's signature is stood in for by the nonce itself: the fake metadata service answers with it."""
        resource, _, document = rest.partition(" ")
        if document != base64.b64encode(hashlib.sha256(body).hexdigest()[:32].encode()).decode():
            raise NotBelievedError("the attested document has another nonce")
        found = self.servers.get(("x-azure-id", resource))
        if found is None:
            raise NotBelievedError(f"no machine {resource}")
        return found


def _amz_time(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _json(encoded: str) -> object:
    try:
        return json.loads(base64.b64decode(encoded, validate=True))
    except ValueError as error:
        raise NotBelievedError("the token is no JSON in base64") from error


def _mapping(document: object) -> dict[str, dict[str, list[str]] | list[str] | str]:
    if not isinstance(document, dict):
        raise NotBelievedError("the token is no object")
    return document


def _sha(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")


def _hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
