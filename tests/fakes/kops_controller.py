"""A kops-controller for tests: the bootstrap endpoint over TLS, written from reference/nodeup.md 1.7 and protokube.md 3.

    controller = KopsController(cluster_name="c.example.com", now=clock.now)
    with controller.serve() as url:
        …                                  # url is https://127.0.0.1:<port>/
    controller.statuses                    # what was answered, in order

    python -m tests.fakes.kops_controller --help       # the same as a program, for machines

It verifies tokens, refuses Ready nodes and wrong keypair ids, calls nodes back, issues certificates as kops does, and can be told to
limit its rate or to answer something else first.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from agents.pki.issue import Usage
from agents.pki.keypair import Keypair
from tests.fakes.callback import CallbackFailedError, call_back
from tests.fakes.issued_certificates import CERTIFICATES, CILIUM_CA, CLUSTER_CA, NotIssuedError, Signer, leaf, some_ca, validity_of
from tests.fakes.node_tokens import Identity, Inventory, NotBelievedError, TakenError

KEYPAIR_ID = "6982820025135291416230495506"
CILIUM_KEYPAIR_ID = "6982820025135291416230495507"


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


def cluster_ca(name: str = CLUSTER_CA) -> Keypair:
    """A CA; the same one each time, because keys are slow to make. Valid for a long time around 2026."""
    return some_ca(name)


def caller_certificate(cluster_name: str, *, common_name: str | None = None, ca: str = CLUSTER_CA) -> Keypair:
    """What kops-controller calls back with; another name or CA makes it a stranger."""
    return leaf(common_name or f"kops-controller.{cluster_name}", (), Usage.CLIENT, cluster_ca(ca))


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
        #: The configuration of every instance group, unless `node_config_of` knows better.
        self.node_config = node_config
        #: From a proven identity to its group's configuration; OSError or KeyError where there is none.
        self.node_config_of: Callable[[Identity], str] = lambda _identity: self.node_config
        self.node_secrets: dict[str, bytes] = {}
        self.keypair_ids = {CLUSTER_CA: KEYPAIR_ID, CILIUM_CA: CILIUM_KEYPAIR_ID}
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
        #: Told of each request: from where, with which body, and what was answered.
        self.on_reply: Callable[[str, bytes, Reply], None] = lambda _remote, _body, _reply: None
        #: Which certificate the server shows; a name that is not in it does not verify.
        self.server_names: tuple[str, ...] = (f"kops-controller.internal.{cluster_name}", "127.0.0.1", "::1")
        #: How long certificates are valid, by the node's name.
        self.validity_of: Callable[[str], timedelta] = validity_of
        self._ca = cluster_ca() if ca is None else ca
        self.signers = {CLUSTER_CA: Signer(self._ca)}
        self.now = now
        self._lock = threading.Lock()

    @property
    def ca_pem(self) -> bytes:
        return self._ca.certificate_pem

    # --- what it decides

    def reply(self, token: str, body: bytes, remote: str = "") -> Reply:
        with self._lock:
            admitted = self.limit is None or self.limit.admits(self.monotonic())
            scripted = self.replies.pop(0) if self.replies else None
        if scripted is not None:
            return scripted
        if not admitted and self.limit is not None:
            return Reply(status=429, body=b"too many requests\n", headers={"Retry-After": self.limit.retry_after})
        try:
            answer = self._bootstrap(token, body, remote)
        except RefusedError as refused:
            return refused.reply
        headers = {"Content-Type": "application/json"}
        return Reply(status=200, body=json.dumps(answer).encode() + b"\n", headers=headers)

    def _bootstrap(self, token: str, body: bytes, remote: str) -> dict[str, object]:
        identity = self._identified(token, body, remote)
        if identity.node_name in self.ready:
            raise RefusedError(409, f"node {identity.node_name} is already registered")
        request = self._decoded(body)
        if identity.callback_port is not None:
            self._call_back(identity, request.get("challenge"))
        answer: dict[str, object] = {"Certs": {}}
        if request.get("includeNodeConfig"):
            answer["nodeConfig"] = self._node_config(identity)
        certs, keypair_ids = request.get("certs") or {}, request.get("keypairIDs") or {}
        if isinstance(certs, dict) and isinstance(keypair_ids, dict):
            answer["Certs"] = {name: self._issue(name, pem, identity, keypair_ids) for name, pem in certs.items()}
        return answer

    def _identified(self, token: str, body: bytes, remote: str) -> Identity:
        try:
            return self.inventory.identify(token, body, remote)
        except TakenError as error:
            self.log.append(f"{error}")
            raise RefusedError(409, f"{error}") from error
        except (NotBelievedError, KeyError, ValueError, TypeError) as error:
            self.log.append(f"{error}")
            raise RefusedError(403, "failed to verify token") from error

    def _decoded(self, body: bytes) -> dict[str, object]:
        try:
            request = json.loads(body)
        except ValueError as error:
            raise RefusedError(400, f"failed to decode: {error}") from error
        if not isinstance(request, dict):
            raise RefusedError(400, "failed to decode: no object")
        with self._lock:
            self.requests.append(request)
        if request.get("apiVersion") != "bootstrap.kops.k8s.io/v1alpha1":
            raise RefusedError(400, "unexpected APIVersion")
        return request

    def _node_config(self, identity: Identity) -> dict[str, object]:
        try:
            config = self.node_config_of(identity)
        except (OSError, KeyError) as error:
            self.log.append(f"configuration of {identity.instance_group}: {error}")
            raise RefusedError(500, "failed to build node config") from error
        encoded = {name: base64.b64encode(content).decode() for name, content in self.node_secrets.items()}
        return {"nodeupConfig": config, "nodeSecrets": encoded}

    def _issue(self, name: str, public_key_pem: str, identity: Identity, keypair_ids: dict[str, str]) -> str:
        what = CERTIFICATES.get(name)
        if what is None or what.signer not in self.signers:
            raise RefusedError(400, f'failed to issue "{name}": key name not enabled')
        wanted, found = keypair_ids.get(what.signer, ""), self.keypair_ids.get(what.signer, "")
        if keypair_ids and wanted != found:
            # an empty map is of clients older than the field
            raise RefusedError(400, f'failed to issue "{name}": request\'s keypair ID "{wanted}" for {what.signer}, server\'s "{found}"')
        try:
            return (
                self.signers[what.signer]
                .sign(
                    what,
                    public_key_pem,
                    node_name=identity.node_name,
                    names=identity.alternate_names,
                    now=self.now(),
                    validity=self.validity_of(identity.node_name),
                )
                .decode()
            )
        except NotIssuedError as error:
            raise RefusedError(400, f'failed to issue "{name}": {error}') from error

    def _call_back(self, identity: Identity, challenge: object) -> None:
        """Dial the address that the cloud has, and see whether whoever answers knows the secret."""
        if not isinstance(challenge, dict):
            raise RefusedError(400, "challenge not set")
        random = secrets.token_bytes(32)
        caller = leaf(f"kops-controller.{self.cluster_name}", (), Usage.CLIENT, self._ca)
        try:
            said = call_back(
                identity.callback_port or 0,
                ca=base64.b64decode(challenge["ca"]),
                server_name=f"challenge-server.{self.cluster_name}",
                caller=caller,
                challenge_id=challenge["challengeID"],
                random=random,
                address=identity.callback_address,
            )
            wanted = hashlib.sha256(base64.b64decode(challenge["challengeSecret"]) + random).digest()
        except (CallbackFailedError, KeyError, ValueError, TypeError) as error:
            self.log.append(f"callback: {error}")
            raise RefusedError(400, "failed to verify challenge") from error
        if not hmac.compare_digest(said, wanted):
            raise RefusedError(400, "failed to verify challenge")

    # --- how it listens

    @contextmanager
    def serve(self, address: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
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
                remote = str(self.client_address[0])
                reply = controller.reply(self.headers.get("Authorization", ""), body, remote)
                controller.statuses.append(reply.status)
                controller.on_reply(remote, body, reply)
                self._send(reply)

            def _send(self, reply: Reply) -> None:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(controller.now().timestamp() if timestamp is None else timestamp)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature of the standard library
                pass

        server = _Server((address, port), Handler, tls=self._tls())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="kops-controller", daemon=True)
        thread.start()
        try:
            yield f"https://{address}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join(timeout=10)
            server.server_close()

    def _tls(self) -> ssl.SSLContext:
        own = leaf("kops-controller", self.server_names, Usage.SERVER, self._ca)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
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


if __name__ == "__main__":
    from tests.fakes.kops_controller_program import main

    sys.exit(main())
