"""One attempt at one kops-controller: resolve, connect, check the certificate, post, and say what it meant. It never retries."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import Message
from urllib.parse import SplitResult, urlsplit

from agents.errors import SpecError, VerificationError
from agents.secret import Secret
from nodeup.bootstrap.messages import BootstrapAnswer, BootstrapRequest, parse_answer
from nodeup.bootstrap.refusal import Reason, Refusal, refusal_of_status
from nodeup.bootstrap.resolve import Resolver, reason_to_wait, resolve, usable

#: kops' limit for one request; the server calls back and issues certificates within it.
REQUEST_TIMEOUT = timedelta(seconds=15)
#: For one address: an IPv6-only node must get past the IPv4 ones quickly.
CONNECT_TIMEOUT = timedelta(seconds=5)
#: The largest configuration in kops' own corpus has 40 kB; more than this is no answer.
LARGEST_ANSWER_BYTES = 8 << 20

PORT = 3988


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where kops-controllers are and how they prove that they are the cluster's."""

    #: URLs such as https://kops-controller.internal.<cluster>:3988/, in the order to try.
    servers: tuple[str, ...]
    #: The name to expect in certificates; "" for the one in the URL.
    tls_server_name: str
    #: PEM of the cluster's CA bundle.
    ca: bytes


class ControllerClient:
    """Asks the servers of one endpoint; proxies are never used, because the name is inside the cluster's network."""

    def __init__(self, endpoint: Endpoint, *, now: Callable[[], datetime], resolver: Resolver = resolve) -> None:
        self._endpoint = endpoint
        self._now = now
        self._resolver = resolver
        self._trust = _trust(endpoint.ca)

    def ask(self, server: str, request: BootstrapRequest, body: bytes, token: Secret) -> BootstrapAnswer | Refusal:
        """Post `body`, the bytes of `request`, to one server."""
        where, name, port = _parts(server)
        addresses = self._resolver(name, port)
        waiting = reason_to_wait(name, addresses)
        if waiting is not None:
            return Refusal(
                reason=Reason.NAME, message=waiting, hint="it passes when the control plane is up; otherwise see its dns-controller"
            )
        try:
            with _connected(usable(addresses), port) as plain, self._secured(plain, name) as secured:
                status, said, headers = _post(secured, where, body, token)
        except ssl.SSLCertVerificationError as error:
            return Refusal(reason=Reason.UNTRUSTED, message=f"{server}: its certificate: {_why(error)}", hint=_trust_hint(error))
        except (OSError, http.client.HTTPException) as error:
            return Refusal(reason=Reason.UNREACHABLE, message=f"{server}: {_said(error)}")
        if status != http.client.OK:
            return refusal_of_status(status, said, headers.get("Retry-After"), where=server, now=self._now(), date=headers.get("Date"))
        try:
            return parse_answer(said, request)
        except VerificationError as error:
            return Refusal(reason=Reason.MALFORMED, message=f"{server}: {error}", hint="is something else listening there?")

    def _secured(self, plain: socket.socket, name: str) -> ssl.SSLSocket:
        plain.settimeout(REQUEST_TIMEOUT.total_seconds())
        return self._trust.wrap_socket(plain, server_hostname=self._endpoint.tls_server_name or name)


def _trust(ca: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cadata=ca.decode("ascii", errors="replace"))
    except (ssl.SSLError, ValueError) as error:
        raise SpecError(
            f"the cluster's CA certificates (ConfigServer.CACertificates) cannot be read: {error}", code="bootstrap-ca"
        ) from error
    return context


def _parts(server: str) -> tuple[SplitResult, str, int]:
    where = urlsplit(server)
    try:
        port = where.port or PORT
    except ValueError as error:
        raise SpecError(f"ConfigServer.servers: {server!r} has no valid port") from error
    if where.scheme != "https" or not where.hostname:
        raise SpecError(f"ConfigServer.servers: {server!r}, wanted https://host:{PORT}/")
    return where, where.hostname, port


def _connected(addresses: Sequence[str], port: int) -> socket.socket:
    """Return a connection to the first address that takes one; the last one's error where none does."""
    for address in addresses[:-1]:
        try:
            return socket.create_connection((address, port), timeout=CONNECT_TIMEOUT.total_seconds())
        except OSError:
            continue
    return socket.create_connection((addresses[-1], port), timeout=CONNECT_TIMEOUT.total_seconds())


def _post(secured: ssl.SSLSocket, where: SplitResult, body: bytes, token: Secret) -> tuple[int, bytes, Message]:
    connection = http.client.HTTPConnection(where.hostname or "", where.port or PORT)
    connection.sock = secured
    path = f"{where.path.rstrip('/')}/bootstrap"
    headers = {"Content-Type": "application/json", "Authorization": token.reveal().decode(), "Connection": "close"}
    connection.request("POST", path, body=body, headers=headers)
    with connection.getresponse() as response:
        return response.status, response.read(LARGEST_ANSWER_BYTES), response.headers


def _why(error: ssl.SSLCertVerificationError) -> str:
    return error.verify_message or str(error)


def _trust_hint(error: ssl.SSLCertVerificationError) -> str:
    if "not yet valid" in _why(error) or "expired" in _why(error):
        return "compare this machine's clock (timedatectl) with the control plane's"
    return "was the cluster's CA rotated after this machine's user data was made? then replace the machine"


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
