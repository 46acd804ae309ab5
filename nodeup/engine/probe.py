"""Asking a unit once whether it works; when to ask again is decided elsewhere."""

from __future__ import annotations

import http.client
import socket
from typing import assert_never

from nodeup.resources.readiness import Endpoint, GrpcSocket, HealthEndpoint

#: Both are on this machine; one that takes longer does not work.
_TIMEOUT_SECONDS = 3.0
#: What a client of HTTP/2 says first, with an empty SETTINGS frame, and the type of frame that a server greets with. Source: RFC 9113, 3.4.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_SETTINGS = 4


def probe(endpoint: Endpoint) -> str:
    """Return "" where it answers well, else what is wrong."""
    match endpoint:
        case HealthEndpoint():
            return _ask_health(endpoint)
        case GrpcSocket():
            return _ask_socket(endpoint)
        case unexpected:
            assert_never(unexpected)


def _ask_health(endpoint: HealthEndpoint) -> str:
    connection = http.client.HTTPConnection(endpoint.address, endpoint.port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        said = answer.read(200).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"{endpoint}: {error or type(error).__name__}"
    finally:
        connection.close()
    return "" if answer.status == http.client.OK else f"{endpoint} answers {answer.status}: {' '.join(said.split())}"


def _ask_socket(endpoint: GrpcSocket) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT_SECONDS)
        try:
            connection.connect(endpoint.path)
            connection.sendall(_PREFACE)
            # Length (3 bytes), type, flags, stream.
            head = b""
            while len(head) < 9 and (piece := connection.recv(9 - len(head))):
                head += piece
        except OSError as error:
            return f"{endpoint}: {error.strerror or error}"
    return "" if len(head) == 9 and head[3] == _SETTINGS else f"{endpoint} is no gRPC server: it said {head[:9]!r}"
