"""The loop around attempts: servers in turn, pauses by the schedule, an end. The only place here that sleeps.

round:  each server in turn, until one says anything ──answer──► done
          └── 409, or what the caller calls final ──► given back
          └── anything else ──► pause (schedule), next round, until the patience ends: DeadlineError
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from agents.clock import Clock
from agents.errors import DeadlineError, TransientError
from agents.secret import Secret
from nodeup.bootstrap.messages import BootstrapAnswer, BootstrapRequest, Challenge
from nodeup.bootstrap.refusal import NOT_ASKED, Reason, Refusal
from nodeup.bootstrap.schedule import PATIENCE, Failures, pause_after
from nodeup.bootstrap.tokens import Authenticator

log = logging.getLogger(__name__)


class Client(Protocol):
    """What makes one attempt at one server (`nodeup.bootstrap.client`)."""

    def ask(self, server: str, request: BootstrapRequest, body: bytes, token: Secret) -> BootstrapAnswer | Refusal:
        """Post `body`."""
        ...


class Challenges(Protocol):
    """Whoever answers kops-controller's callbacks (`nodeup.bootstrap.challenge`)."""

    def new_challenge(self) -> Challenge:
        """Return a challenge for one attempt."""
        ...


#: Opens the callback's port for the length of a conversation; None in clouds without callbacks.
OpenChallenges = Callable[[], AbstractContextManager[Challenges] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What conversations are held with; the same for all of a run."""

    authenticator: Authenticator
    open_challenges: OpenChallenges
    clock: Clock
    random: Callable[[], float]
    #: Told of each pause: why, and until when.
    on_wait: Callable[[Refusal, datetime], None]


def converse(
    request: BootstrapRequest,
    servers: Collection[str],
    client: Client,
    means: Means,
    *,
    patience: timedelta = PATIENCE,
    final: Collection[Reason] = (),
) -> BootstrapAnswer | Refusal:
    """Return the answer, or the refusal that no patience helps against: JOINED, and those in `final`.

    DeadlineError, which says what was waited for, when `patience` has ended; with none, every server is tried once.
    SpecError where this machine can never prove itself.
    """
    begin = means.clock.monotonic()
    failures = Failures()
    with _challenges(means) as challenges:
        while True:
            outcome = _round(request, servers, client, means.authenticator, challenges)
            if isinstance(outcome, BootstrapAnswer) or outcome.reason is Reason.JOINED or outcome.reason in final:
                return outcome
            failures = failures.after(outcome)
            pause = pause_after(outcome, failures, means.random)
            waited = timedelta(seconds=means.clock.monotonic() - begin)
            if waited + pause > patience:
                raise _out_of_patience(outcome, failures, waited)
            until = means.clock.now() + pause
            log.warning("attempt %d at kops-controller: %s; the next in %.1f s", failures.total, outcome.message, pause.total_seconds())
            means.on_wait(outcome, until)
            means.clock.sleep(pause)


def _round(
    request: BootstrapRequest, servers: Collection[str], client: Client, authenticator: Authenticator, challenges: Challenges | None
) -> BootstrapAnswer | Refusal:
    """Return the first thing that any server says; if none can be asked, what is wrong with the first."""
    refusals: list[Refusal] = []
    for server in servers:
        body = request.body(None if challenges is None else challenges.new_challenge())
        try:
            token = authenticator.token(body)
        except TransientError as error:
            return Refusal(reason=Reason.IDENTITY, message=str(error), hint=error.hint)
        outcome = client.ask(server, request, body, token)
        if isinstance(outcome, BootstrapAnswer) or outcome.reason not in NOT_ASKED:
            return outcome
        log.debug("%s", outcome.message)
        refusals.append(outcome)
    return refusals[0]


@contextmanager
def _challenges(means: Means) -> Iterator[Challenges | None]:
    opened = means.open_challenges()
    if opened is None:
        yield None
        return
    with opened as challenges:
        yield challenges


def _out_of_patience(refusal: Refusal, failures: Failures, waited: timedelta) -> DeadlineError:
    minutes = waited.total_seconds() / 60
    return DeadlineError(
        f"kops-controller gave nothing in {failures.total} attempts over {minutes:.0f} minutes; the last: {refusal.message}",
        code=f"bootstrap-{refusal.reason.value}",
        hint=refusal.hint,
    )
