from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agents.errors import SpecError
from agents.secret import Secret
from nodeup.bootstrap.client import ControllerClient, Endpoint
from nodeup.bootstrap.messages import BootstrapAnswer, BootstrapRequest
from nodeup.bootstrap.refusal import Reason, Refusal
from nodeup.bootstrap.resolve import reason_to_wait, resolve, usable
from tests.fakes.clock import FakeClock
from tests.fakes.kops_controller import KopsController, Reply, cluster_ca

CLUSTER = "c.example.com"
REQUEST = BootstrapRequest(include_node_config=True)
NAME = f"kops-controller.internal.{CLUSTER}"


@pytest.fixture
def controller() -> KopsController:
    controller = KopsController(cluster_name=CLUSTER, now=FakeClock().now)
    controller.replies = [Reply(status=200, body=b'{"nodeConfig": {"nodeupConfig": "a: 1"}}')]
    return controller


def ask(
    server: str, *, ca: bytes | None = None, tls_server_name: str = "", addresses: dict[str, tuple[str, ...]] | None = None
) -> BootstrapAnswer | Refusal:
    known = {"127.0.0.1": ("127.0.0.1",)} | (addresses or {})
    endpoint = Endpoint(servers=(server,), tls_server_name=tls_server_name, ca=cluster_ca().certificate_pem if ca is None else ca)
    client = ControllerClient(endpoint, now=FakeClock().now, resolver=lambda name, _port: known.get(name, ()))
    return client.ask(server, REQUEST, REQUEST.body(), Secret("token"))


def refusal(outcome: BootstrapAnswer | Refusal) -> Refusal:
    assert isinstance(outcome, Refusal), outcome
    return outcome


def port_of(url: str) -> str:
    return url.rstrip("/").rpartition(":")[2]


def test_a_server_is_believed_by_its_address(controller: KopsController) -> None:
    with controller.serve() as url:
        assert isinstance(ask(url), BootstrapAnswer)


def test_a_server_is_believed_by_the_name_that_user_data_gives(controller: KopsController) -> None:
    controller.server_names = (NAME,)
    with controller.serve() as url:
        assert refusal(ask(url)).reason is Reason.UNTRUSTED
        assert isinstance(ask(url, tls_server_name=NAME), BootstrapAnswer)


def test_a_server_of_another_ca_is_not_asked(controller: KopsController) -> None:
    with controller.serve() as url:
        refused = refusal(ask(url, ca=cluster_ca("another").certificate_pem))

    assert refused.reason is Reason.UNTRUSTED
    assert "rotated" in refused.hint
    assert controller.statuses == []


def test_the_first_address_that_answers_is_taken(controller: KopsController) -> None:
    controller.server_names = (NAME,)
    with controller.serve() as url:
        found = ask(f"https://{NAME}:{port_of(url)}/", addresses={NAME: ("203.0.113.123", "127.0.0.99", "127.0.0.1")})

    assert isinstance(found, BootstrapAnswer)


@pytest.mark.parametrize("address", ["203.0.113.123", "fd00:dead:add::", "fd00:dead:add:0:0:0:0:0"])
def test_the_placeholder_is_a_reason_to_wait_and_nobody_is_dialled(address: str) -> None:
    refused = refusal(ask(f"https://{NAME}:3988/", addresses={NAME: (address,)}))

    assert refused.reason is Reason.NAME
    assert f"only the placeholder {address}" in refused.message
    assert "has not published" in refused.message


def test_a_name_without_an_address_is_a_reason_to_wait() -> None:
    assert "has no address yet" in refusal(ask(f"https://{NAME}:3988/")).message


def test_a_closed_port_is_unreachable() -> None:
    refused = refusal(ask("https://127.0.0.1:1/"))

    assert refused.reason is Reason.UNREACHABLE
    assert refused.message == "https://127.0.0.1:1/: Connection refused"


def test_an_empty_200_is_malformed(controller: KopsController) -> None:
    controller.replies = [Reply(status=200, body=b"")]
    with controller.serve() as url:
        refused = refusal(ask(url))

    assert refused.reason is Reason.MALFORMED
    assert "answered 200 with nothing in it" in refused.message


@contextmanager
def raw_server(answer: bytes) -> Iterator[str]:
    """Something that answers the first bytes of a connection with `answer` and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1)
            connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        thread.join(timeout=5)
        listener.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x01"])
def test_a_server_without_tls_is_unreachable(answer: bytes) -> None:
    with raw_server(answer) as url:
        assert refusal(ask(url)).reason is Reason.UNREACHABLE


@pytest.mark.parametrize("server", ["http://a:3988/", "a:3988", "https://", "https://a:port/"])
def test_a_server_that_is_no_https_url_is_the_operators_mistake(server: str) -> None:
    with pytest.raises(SpecError, match=r"ConfigServer\.servers"):
        ask(server)


def test_a_ca_that_cannot_be_read_is_the_operators_mistake() -> None:
    with pytest.raises(SpecError, match="CACertificates"):
        ask("https://127.0.0.1:1/", ca=b"no certificate")


def test_the_placeholder_beside_a_real_address_is_left_out() -> None:
    assert usable(("203.0.113.123", "10.0.0.1")) == ("10.0.0.1",)
    assert reason_to_wait("a", ("203.0.113.123", "10.0.0.1")) is None


def test_an_address_resolves_to_itself() -> None:
    assert resolve("127.0.0.1", 3988) == ("127.0.0.1",)


def test_a_clock_that_is_off_is_named() -> None:
    """The certificates of the stand-in begin in 2020 and end in 2039; faketime is not at hand, so the words are asked for."""
    import ssl

    from nodeup.bootstrap.client import _trust_hint

    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "certificate is not yet valid"

    assert "clock" in _trust_hint(error)
