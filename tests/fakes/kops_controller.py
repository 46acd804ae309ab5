"""A kops-controller for tests: the bootstrap endpoint over TLS, written from reference/nodeup.md 1.7 and protokube.md 3.

    controller = KopsController(cluster_name="c.example.com", now=clock.now)
    with controller.serve() as url:
        …                                  # url is https://127.0.0.1:<port>/
    controller.statuses                    # what was answered, in order

It verifies tokens, refuses Ready nodes and wrong keypair ids, calls nodes back, issues certificates as kops does, and can be told to
limit its rate or to answer something else first.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import secrets
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agents.pki.issue import CertificateRequest, Usage, issue, self_signed_ca
from agents.pki.keypair import Keypair, generate_rsa_key, load_certificate, load_private_key
from agents.secret import Secret
from tests.fakes.node_tokens import Identity, Inventory, NotBelievedError

KEYPAIR_ID = "6982820025135291416230495506"

#: Common name, organization, usage: all that can be had.
CERTIFICATES: dict[str, tuple[str, str, str]] = {
    "kubelet": ("system:node:{node}", "system:nodes", "client"),
    "kubelet-server": ("{node}", "", "server"),
    "kube-proxy": ("system:kube-proxy", "", "client"),
    "kube-router": ("system:kube-router", "", "client"),
    "etcd-client-cilium": ("cilium", "", "client"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is answered."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """The request gets this status, and this text."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.reply = Reply(status=status, body=f"{text}\n".encode(), headers=headers or {})


def cluster_ca(name: str = "kubernetes-ca") -> Keypair:
    """A CA; the same one each time, because keys are slow to make. Valid for a long time around 2026."""
    return _ca(name)


@functools.cache
def _ca(name: str) -> Keypair:
    key = generate_rsa_key()
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    return Keypair(certificate_pem=self_signed_ca(name, key=key, not_before=begin, not_after=begin + timedelta(days=7300)), key=key)


@functools.cache
def _leaf(common_name: str, names: tuple[str, ...], usage: Usage, ca: Keypair) -> Keypair:
    key = generate_rsa_key()
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    request = CertificateRequest(common_name=common_name, alternate_names=names, usage=usage)
    pem = issue(request, signer=ca, key=key, not_before=begin, not_after=begin + timedelta(days=7300))
    return Keypair(certificate_pem=pem, key=key)


@dataclass(slots=True, kw_only=True)
class RateLimit:
    """So many requests per second, with as many at once; the rest is told to come back."""

    per_second: float
    retry_after: str
    _tokens: float = 0.0
    _seen: float = 0.0

    def __post_init__(self) -> None:
        self._tokens = self.per_second

    def admits(self, now: float) -> bool:
        self._tokens = min(self.per_second, self._tokens + (now - self._seen) * self.per_second)
        self._seen = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class KopsController:
    """One server, and what it knows."""

    def __init__(self, *, cluster_name: str, now: Callable[[], datetime], node_config: str = "", ca: Keypair | None = None) -> None:
        self.cluster_name = cluster_name
        self.inventory = Inventory(now=now)
        self.node_config = node_config
        self.node_secrets: dict[str, bytes] = {}
        self.keypair_ids = {"kubernetes-ca": KEYPAIR_ID}
        #: Names of nodes that are registered and Ready.
        self.ready: set[str] = set()
        self.limit: RateLimit | None = None
        self.monotonic: Callable[[], float] = lambda: 0.0
        #: Answered before anything else, first come first served.
        self.replies: list[Reply] = []
        #: What was asked and answered, in order.
        self.requests: list[dict[str, object]] = []
        self.statuses: list[int] = []
        #: Why requests were refused, which a node is not told.
        self.log: list[str] = []
        #: Which certificate the server shows; a name that is not in it does not verify.
        self.server_names: tuple[str, ...] = (f"kops-controller.internal.{cluster_name}", "127.0.0.1", "::1")
        self.validity = timedelta(days=455)
        self._ca = cluster_ca() if ca is None else ca
        # Read once: that takes longer than everything else here.
        self._ca_certificate, self._ca_key = load_certificate(self._ca.certificate_pem), load_private_key(self._ca.key)
        self._now = now
        self._lock = threading.Lock()

    @property
    def ca_pem(self) -> bytes:
        return self._ca.certificate_pem

    # --- what it decides

    def reply(self, token: str, body: bytes) -> Reply:
        with self._lock:
            admitted = self.limit is None or self.limit.admits(self.monotonic())
            scripted = self.replies.pop(0) if self.replies else None
        if scripted is not None:
            return scripted
        if not admitted and self.limit is not None:
            return Reply(status=429, body=b"too many requests\n", headers={"Retry-After": self.limit.retry_after})
        try:
            return Reply(status=200, body=json.dumps(self._bootstrap(token, body)).encode())
        except RefusedError as refused:
            return refused.reply

    def _bootstrap(self, token: str, body: bytes) -> dict[str, object]:
        try:
            identity = self.inventory.identify(token, body)
        except (NotBelievedError, KeyError, ValueError, TypeError) as error:
            self.log.append(f"{error}")
            raise RefusedError(403, "failed to verify token") from error
        if identity.node_name in self.ready:
            raise RefusedError(409, f"node {identity.node_name} is already registered")
        request = json.loads(body)
        with self._lock:
            self.requests.append(request)
        if request.get("apiVersion") != "bootstrap.kops.k8s.io/v1alpha1":
            raise RefusedError(400, "unexpected APIVersion")
        if identity.callback_port is not None:
            self._call_back(identity, request.get("challenge"))
        answer: dict[str, object] = {"Certs": {}, "nodeConfig": None}
        if request.get("includeNodeConfig"):
            encoded = {name: base64.b64encode(content).decode() for name, content in self.node_secrets.items()}
            answer["nodeConfig"] = {"nodeupConfig": self.node_config, "nodeSecrets": encoded}
        if request.get("certs"):
            answer["Certs"] = self._certificates(identity, request["certs"], request.get("keypairIDs") or {})
        return answer

    def _certificates(self, identity: Identity, keys: dict[str, str], keypair_ids: dict[str, str]) -> dict[str, str]:
        for signer, wanted in keypair_ids.items():
            if self.keypair_ids.get(signer) != wanted:
                raise RefusedError(400, f"keypair ID of {signer} is {self.keypair_ids.get(signer)}, requested {wanted}")
        return {name: self._issue(name, pem, identity).decode() for name, pem in keys.items()}

    def _issue(self, name: str, public_key_pem: str, identity: Identity) -> bytes:
        if name not in CERTIFICATES:
            raise RefusedError(400, f"unexpected key name {name}")
        common_name, organization, usage = CERTIFICATES[name]
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name.format(node=identity.node_name))]
        if organization:
            attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
        builder = (
            x509.CertificateBuilder(issuer_name=self._ca_certificate.subject, subject_name=x509.Name(attributes))
            .public_key(_public_key(public_key_pem))
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now() - timedelta(hours=48))
            .not_valid_after(self._now() + self.validity)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        extended = ExtendedKeyUsageOID.SERVER_AUTH if usage == "server" else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([extended]), critical=False)
        if usage == "server" and identity.alternate_names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(n) for n in identity.alternate_names]), critical=False
            )
        return builder.sign(self._ca_key, SHA256()).public_bytes(Encoding.PEM)  # type: ignore[arg-type]

    def _call_back(self, identity: Identity, challenge: object) -> None:
        """Dial the address that the cloud has, and see whether whoever answers knows the secret."""
        if not isinstance(challenge, dict):
            raise RefusedError(400, "challenge not set")
        random = secrets.token_bytes(32)
        caller = _leaf(f"kops-controller.{self.cluster_name}", (), Usage.CLIENT, self._ca)
        try:
            said = call_back(
                identity.callback_port or 0,
                ca=base64.b64decode(challenge["ca"]),
                server_name=f"challenge-server.{self.cluster_name}",
                caller=caller,
                challenge_id=challenge["challengeID"],
                random=random,
            )
        except CallbackFailedError as error:
            self.log.append(f"callback: {error}")
            raise RefusedError(400, "failed to verify challenge") from error
        wanted = hashlib.sha256(base64.b64decode(challenge["challengeSecret"]) + random).digest()
        if not hmac.compare_digest(said, wanted):
            raise RefusedError(400, "failed to verify challenge")

    # --- how it listens

    @contextmanager
    def serve(self, address: str = "127.0.0.1") -> Iterator[str]:
        controller = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                self._send(Reply(status=200, body=b"ok") if self.path == "/healthz" else Reply(status=404, body=b"not found\n"))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                if self.path != "/bootstrap":
                    self._send(Reply(status=404, body=b"not found\n"))
                    return
                reply = controller.reply(self.headers.get("Authorization", ""), body)
                controller.statuses.append(reply.status)
                self._send(reply)

            def _send(self, reply: Reply) -> None:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature of the standard library
                pass

        server = _Server((address, 0), Handler, tls=self._tls())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="kops-controller", daemon=True)
        thread.start()
        try:
            yield f"https://{address}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join(timeout=10)
            server.server_close()

    def _tls(self) -> ssl.SSLContext:
        own = _leaf("kops-controller", self.server_names, Usage.SERVER, self._ca)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as directory:
            pem = Path(directory) / "server.pem"
            pem.write_bytes(own.key.reveal() + own.certificate_pem)
            context.load_cert_chain(pem)
        return context


class _Server(ThreadingHTTPServer):
    """Handshakes are made in each connection's own thread."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], *, tls: ssl.SSLContext) -> None:
        self._tls = tls
        super().__init__(address, handler)

    def finish_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        request.settimeout(10)
        try:
            with self._tls.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)  # type: ignore[arg-type]
        except OSError:
            return  # a client that does not trust us, or went away


class CallbackFailedError(Exception):
    """The node cannot be reached, or gives no answer."""


def call_back(port: int, *, ca: bytes, server_name: str, caller: Keypair | None, challenge_id: str, random: bytes) -> bytes:
    """Ask a node's challenge server on loopback; `caller` is the certificate to show."""
    import grpc

    from nodeup.bootstrap.proto.challenge_pb2 import ChallengeRequest, ChallengeResponse

    credentials = grpc.ssl_channel_credentials(
        root_certificates=ca,
        private_key=None if caller is None else caller.key.reveal(),
        certificate_chain=None if caller is None else caller.certificate_pem,
    )
    options = (("grpc.ssl_target_name_override", server_name), ("grpc.enable_http_proxy", 0))
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
        ask = channel.unary_unary(
            "/kops.bootstrap.v1.CallbackService/Challenge",
            request_serializer=ChallengeRequest.SerializeToString,
            response_deserializer=ChallengeResponse.FromString,
        )
        try:
            answer = ask(ChallengeRequest(challenge_id=challenge_id, challenge_random=random), timeout=5)
        except grpc.RpcError as error:
            raise CallbackFailedError(f"{error.code().name}: {error.details()}") from error
    return bytes(answer.challenge_response)


def _public_key(pem: str) -> CertificateIssuerPublicKeyTypes:
    """Read kops' form: a PEM block named RSA PUBLIC KEY that holds SubjectPublicKeyInfo."""
    lines = pem.strip().splitlines()
    if lines[0] != "-----BEGIN RSA PUBLIC KEY-----":
        raise RefusedError(400, f"unexpected PEM type {lines[0]}")
    try:
        return load_der_public_key(base64.b64decode("".join(lines[1:-1])))  # type: ignore[return-value]
    except ValueError as error:
        raise RefusedError(400, "failed to parse public key") from error


def caller_certificate(cluster_name: str, *, common_name: str | None = None, ca: str = "kubernetes-ca") -> Keypair:
    """What kops-controller calls back with; another name or CA makes it a stranger."""
    return _leaf(common_name or f"kops-controller.{cluster_name}", (), Usage.CLIENT, cluster_ca(ca))


def machine_key() -> Secret:
    """An enrolled machine's key."""
    from agents.pki.keypair import generate_ec_key

    return generate_ec_key()
