"""The callback: while a request is under way, kops-controller dials us and we answer what only its sender can know.

    us       request {challengeID, challengeSecret, ca}  ──►  kops-controller
    us       ◄──  gRPC on :3987, mutual TLS: Challenge(challengeID, random)   to the address that the *cloud* has for the server id
    us       SHA-256(secret ‖ random)  ──►

Each id is answered once. Only a client with a certificate of the cluster's CA and kops-controller's name is heard.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

# Set before grpc is imported: nodeup starts processes, and grpc's handlers around fork have crashed them.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc

from agents.errors import BusyError
from agents.pki.issue import CertificateRequest, Usage, self_signed
from agents.pki.keypair import generate_rsa_key
from agents.secret import Secret
from nodeup.bootstrap.messages import Challenge
from nodeup.bootstrap.proto.challenge_pb2 import ChallengeRequest, ChallengeResponse

if TYPE_CHECKING:
    from collections.abc import Callable

PORT = 3987
SERVICE = "kops.bootstrap.v1.CallbackService"

#: kops' times for the certificate: clocks may be apart, and no conversation lasts longer.
_BACKDATED = timedelta(minutes=15)
_VALID = timedelta(hours=1)
#: For calls that are being answered when the conversation ends.
_GRACE_SECONDS = 2.0


class ChallengeServer:
    """Answers challenges for the ids that it has given out; made by `challenge_server`."""

    def __init__(self, cluster_name: str, certificate: bytes, port: int) -> None:
        self._controller = f"kops-controller.{cluster_name}"
        self._certificate = certificate
        #: Where it really listens.
        self.port = port
        self._lock = threading.Lock()
        self._waiting: dict[str, Secret] = {}

    def new_challenge(self) -> Challenge:
        """Return a challenge for one attempt; the ones before it stay valid, for their callbacks may be under way."""
        challenge = Challenge(
            endpoint=f"[::]:{self.port}", ca=self._certificate, id=secrets.token_hex(16), secret=Secret(secrets.token_bytes(16))
        )
        with self._lock:
            self._waiting[challenge.id] = challenge.secret
        return challenge

    def answer(self, request: ChallengeRequest, context: grpc.ServicerContext) -> ChallengeResponse:
        """Answer kops-controller, once for each id."""
        # The stubs say int; it is a list of byte strings.
        identities: Mapping[str, Iterable[object]] = context.auth_context()
        names = [bytes(name).decode(errors="replace") for name in identities.get("x509_common_name", ()) if isinstance(name, bytes)]
        if names != [self._controller]:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, f"the caller is {', '.join(names) or 'nobody'}, expected {self._controller}")
        if not request.challenge_random:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "challenge_random is empty")
        with self._lock:
            secret = self._waiting.pop(request.challenge_id, None)
        if secret is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "this challenge is unknown, or was answered before")
        return ChallengeResponse(challenge_response=response_to(secret, request.challenge_random))


def response_to(secret: Secret, random: bytes) -> bytes:
    """Return what proves the knowledge of `secret`."""
    return hashlib.sha256(secret.reveal() + random).digest()


@contextmanager
def challenge_server(cluster_name: str, ca: bytes, *, now: Callable[[], datetime], port: int = PORT) -> Iterator[ChallengeServer]:
    """Listen until the block ends; `ca` is what callers' certificates must be signed by. BusyError where the port is taken.

    Port 0 is a free one, for tests.
    """
    key = generate_rsa_key()
    name = f"challenge-server.{cluster_name}"
    # A common name ends at 64 characters, a cluster's name does not; who verifies looks at the alternative name.
    request = CertificateRequest(common_name=name[:64], alternate_names=(name,), usage=Usage.SERVER)
    certificate = self_signed(request, key=key, not_before=now() - _BACKDATED, not_after=now() + _VALID)
    credentials = grpc.ssl_server_credentials([(key.reveal(), certificate)], root_certificates=ca, require_client_auth=True)
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="challenge") as pool:
        server = grpc.server(pool, options=(("grpc.so_reuseport", 0),))
        try:
            bound = server.add_secure_port(f"[::]:{port}", credentials)
        except RuntimeError as error:
            raise BusyError(
                f"port {port} is taken, and kops-controller must reach this node there", hint=f"see who listens: ss -ltnp sport = :{port}"
            ) from error
        challenges = ChallengeServer(cluster_name, certificate, bound)
        handler = grpc.unary_unary_rpc_method_handler(
            challenges.answer, request_deserializer=ChallengeRequest.FromString, response_serializer=ChallengeResponse.SerializeToString
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Challenge": handler}),))
        server.start()
        try:
            yield challenges
        finally:
            server.stop(_GRACE_SECONDS).wait()
