from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from agents.errors import DeadlineError, SpecError, TransientError
from agents.secret import Secret
from nodeup.bootstrap.conversation import Means, converse
from nodeup.bootstrap.messages import BootstrapAnswer, BootstrapRequest, Challenge
from nodeup.bootstrap.refusal import Reason, Refusal
from tests.fakes.clock import FakeClock

REQUEST = BootstrapRequest(include_node_config=True)
ANSWER = BootstrapAnswer()


def no(reason: Reason, retry_after: timedelta | None = None) -> Refusal:
    return Refusal(reason=reason, message=f"said {reason.value}", retry_after=retry_after)


@dataclass(slots=True)
class Servers:
    """Answers from a script, by server; the last answer stays."""

    script: dict[str, list[BootstrapAnswer | Refusal]]
    asked: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    tokens: list[Secret] = field(default_factory=list)

    def ask(self, server: str, request: BootstrapRequest, body: bytes, token: Secret) -> BootstrapAnswer | Refusal:
        self.asked.append(server)
        self.bodies.append(body)
        self.tokens.append(token)
        answers = self.script[server]
        return answers.pop(0) if len(answers) > 1 else answers[0]


class BodyAuthenticator:
    def token(self, body: bytes) -> Secret:
        return Secret(b"token of " + body)


class BrokenAuthenticator:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def token(self, body: bytes) -> Secret:
        raise self.error


@dataclass(slots=True)
class Challenges:
    given: int = 0

    def new_challenge(self) -> Challenge:
        self.given += 1
        return Challenge(endpoint="", ca=b"", id=str(self.given), secret=Secret(b""))


def ignore(_refusal: Refusal, _until: datetime) -> None:
    pass


def means(clock: FakeClock, authenticator: BodyAuthenticator | BrokenAuthenticator | None = None) -> Means:
    return Means(
        authenticator=authenticator or BodyAuthenticator(),
        open_challenges=lambda: None,
        clock=clock,
        random=lambda: 1.0,
        on_wait=ignore,
    )


def test_servers_that_cannot_be_asked_are_passed_over_without_a_pause() -> None:
    clock = FakeClock()
    servers = Servers({"a": [no(Reason.UNREACHABLE)], "b": [no(Reason.NAME)], "c": [ANSWER]})

    assert converse(REQUEST, "abc", servers, means(clock)) is ANSWER

    assert servers.asked == ["a", "b", "c"]
    assert clock.slept == []


def test_a_server_that_says_no_is_not_followed_by_the_next_at_once() -> None:
    clock = FakeClock()
    servers = Servers({"a": [no(Reason.THROTTLED, timedelta(seconds=9)), ANSWER], "b": [ANSWER]})

    converse(REQUEST, "ab", servers, means(clock))

    assert servers.asked == ["a", "a"]
    assert clock.slept == [timedelta(seconds=69)]


def test_every_attempt_has_a_token_of_its_own_body_and_a_challenge_of_its_own() -> None:
    clock, challenges = FakeClock(), Challenges()
    closed = []

    @contextmanager
    def opened() -> Iterator[Challenges]:
        yield challenges
        closed.append(True)

    with_callback = Means(authenticator=BodyAuthenticator(), open_challenges=opened, clock=clock, random=lambda: 1.0, on_wait=ignore)
    servers = Servers({"a": [no(Reason.FAILED), no(Reason.FAILED), ANSWER]})

    converse(REQUEST, "a", servers, with_callback)

    assert len(set(servers.bodies)) == 3
    assert [token.reveal() for token in servers.tokens] == [b"token of " + body for body in servers.bodies]
    assert closed == [True]


def test_joined_is_given_back_at_once() -> None:
    clock = FakeClock()

    outcome = converse(REQUEST, "a", Servers({"a": [no(Reason.JOINED)]}), means(clock))

    assert isinstance(outcome, Refusal)
    assert clock.slept == []


def test_with_no_patience_every_server_is_tried_once() -> None:
    servers = Servers({"a": [no(Reason.UNREACHABLE)], "b": [no(Reason.UNREACHABLE)]})

    with pytest.raises(DeadlineError):
        converse(REQUEST, "ab", servers, means(FakeClock()), patience=timedelta())

    assert servers.asked == ["a", "b"]


def test_a_metadata_service_that_is_away_is_waited_for() -> None:
    clock = FakeClock()

    with pytest.raises(DeadlineError, match="no metadata") as caught:
        converse(REQUEST, "a", Servers({"a": [ANSWER]}), means(clock, BrokenAuthenticator(TransientError("no metadata"))))

    assert caught.value.code == "bootstrap-identity"


def test_a_machine_that_can_never_prove_itself_is_not_waited_for() -> None:
    clock = FakeClock()

    with pytest.raises(SpecError, match="no key"):
        converse(REQUEST, "a", Servers({"a": [ANSWER]}), means(clock, BrokenAuthenticator(SpecError("no key"))))

    assert clock.slept == []


def test_it_waits_through_a_control_plane_that_comes_up() -> None:
    clock = FakeClock()
    story = [no(Reason.NAME)] * 3 + [no(Reason.UNREACHABLE)] * 2 + [no(Reason.THROTTLED, timedelta(seconds=1)), no(Reason.FAILED)]
    servers = Servers({"a": [*story, ANSWER]})

    assert converse(REQUEST, "a", servers, means(clock)) is ANSWER

    assert [pause.total_seconds() for pause in clock.slept] == [1, 2, 4, 1, 2, 61, 5]
