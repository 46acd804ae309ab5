from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from agents.errors import BusyError
from agents.pki.keypair import Keypair
from nodeup.bootstrap.challenge import ChallengeServer, challenge_server
from tests.fakes.callback import CallbackFailedError, call_back
from tests.fakes.kops_controller import caller_certificate, cluster_ca

CLUSTER = "c.example.com"
NAME = f"challenge-server.{CLUSTER}"


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def server() -> Iterator[ChallengeServer]:
    with challenge_server(CLUSTER, cluster_ca().certificate_pem, now=now, port=0) as found:
        yield found


def ask(server: ChallengeServer, challenge_id: str, random: bytes = b"random", caller: Keypair | None = None, ca: bytes = b"") -> bytes:
    shown = caller or caller_certificate(CLUSTER)
    certificate = ca or server.new_challenge().ca
    return call_back(server.port, ca=certificate, server_name=NAME, caller=shown, challenge_id=challenge_id, random=random)


def test_kops_controller_gets_the_hash_of_both_secrets(server: ChallengeServer) -> None:
    challenge = server.new_challenge()

    assert ask(server, challenge.id) == hashlib.sha256(challenge.secret.reveal() + b"random").digest()


def test_a_challenge_is_answered_once(server: ChallengeServer) -> None:
    challenge = server.new_challenge()
    ask(server, challenge.id)

    with pytest.raises(CallbackFailedError, match="NOT_FOUND: this challenge is unknown, or was answered before"):
        ask(server, challenge.id)


def test_an_unknown_challenge_is_not_answered(server: ChallengeServer) -> None:
    with pytest.raises(CallbackFailedError, match="NOT_FOUND"):
        ask(server, "00")


def test_an_empty_random_costs_no_challenge(server: ChallengeServer) -> None:
    challenge = server.new_challenge()

    with pytest.raises(CallbackFailedError, match="INVALID_ARGUMENT"):
        ask(server, challenge.id, random=b"")
    assert ask(server, challenge.id)


def test_another_certificate_of_the_cluster_is_not_heard(server: ChallengeServer) -> None:
    challenge = server.new_challenge()

    with pytest.raises(CallbackFailedError, match="PERMISSION_DENIED: the caller is system:node:evil"):
        ask(server, challenge.id, caller=caller_certificate(CLUSTER, common_name="system:node:evil"))
    assert ask(server, challenge.id)


def test_a_certificate_of_another_ca_is_not_heard(server: ChallengeServer) -> None:
    with pytest.raises(CallbackFailedError, match="UNAVAILABLE"):
        ask(server, server.new_challenge().id, caller=caller_certificate(CLUSTER, ca="another"))


def test_a_caller_without_a_certificate_is_not_heard(server: ChallengeServer) -> None:
    challenge = server.new_challenge()

    with pytest.raises(CallbackFailedError, match="UNAVAILABLE"):
        call_back(server.port, ca=challenge.ca, server_name=NAME, caller=None, challenge_id=challenge.id, random=b"x")


def test_the_servers_certificate_is_what_the_request_names(server: ChallengeServer) -> None:
    with pytest.raises(CallbackFailedError, match="UNAVAILABLE"):
        ask(server, server.new_challenge().id, ca=cluster_ca().certificate_pem)


def test_ids_and_secrets_are_new_each_time(server: ChallengeServer) -> None:
    challenges = [server.new_challenge() for _ in range(50)]

    assert len({challenge.id for challenge in challenges}) == 50
    assert len({challenge.secret for challenge in challenges}) == 50
    assert all(len(challenge.id) == 32 and len(challenge.secret.reveal()) == 16 for challenge in challenges)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(BusyError, match=f"port {port} is taken"),
            challenge_server(CLUSTER, cluster_ca().certificate_pem, now=now, port=port),
        ):
            pass


def test_a_long_cluster_name_is_no_obstacle() -> None:
    name = ".".join(["a-long-label"] * 8)

    with challenge_server(name, cluster_ca().certificate_pem, now=now, port=0) as server:
        challenge = server.new_challenge()
        caller = caller_certificate(name, common_name=f"kops-controller.{name}"[:64])
        with pytest.raises(CallbackFailedError, match="PERMISSION_DENIED"):
            call_back(server.port, ca=challenge.ca, server_name=f"challenge-server.{name}", caller=caller, challenge_id="x", random=b"x")
