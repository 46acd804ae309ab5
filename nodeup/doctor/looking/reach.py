"""Asking servers: whether they answer at all, and what their clock says. Each question has its own thread and a deadline."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from agents.diagnosis import Observed, Unknown, attempt
from nodeup.doctor.view import Endpoint, Name

Value = TypeVar("Value")
Question = TypeVar("Question")

#: One question; the whole doctor is to take less than 15 s.
DEADLINE_SECONDS = 4.0
#: What takes several questions (a store with its credentials).
LONG_DEADLINE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Somebody to ask."""

    purpose: str
    url: str
    #: Whether the proxy of the environment is used: for what lies outside of the cluster's network.
    through_proxy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of it. Any HTTP answer is one, also a 403."""

    server: Server
    problem: str = ""
    #: Its Date, and the middle of our own times before and after; None without one.
    date: datetime | None = None
    asked: datetime | None = None

    @property
    def endpoint(self) -> Endpoint:
        """For the view."""
        return Endpoint(purpose=self.server.purpose, address=self.server.url, problem=self.problem)


def within(seconds: float, look: Callable[[], Value]) -> Observed[Value]:
    """Return what a look shows; Unknown when it takes longer. The thread that still looks does not hold up our end."""
    found: list[Observed[Value]] = []
    thread = threading.Thread(target=lambda: found.append(attempt(look)), daemon=True, name="doctor")
    thread.start()
    thread.join(seconds)
    return found[0] if found else Unknown(f"no answer in {seconds:.0f} s")


def at_once(questions: Iterable[Question], ask: Callable[[Question], Value], seconds: float) -> tuple[Observed[Value], ...]:
    """Return the answers to all questions in their order, asked at the same time."""
    asked = list(questions)
    found: list[Observed[Value]] = [Unknown(f"no answer in {seconds:.0f} s")] * len(asked)

    def answer(index: int) -> None:
        found[index] = attempt(lambda: ask(asked[index]))

    threads = [threading.Thread(target=answer, args=(index,), daemon=True, name="doctor") for index in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    return tuple(found)


def ask_all(servers: Sequence[Server], now: Callable[[], datetime]) -> tuple[Answer, ...]:
    """Ask all servers at once; one that does not answer in time is an answer with a problem."""
    answers = at_once(servers, lambda server: ask(server, now), 2 * DEADLINE_SECONDS)
    return tuple(
        Answer(server=server, problem=answer.reason) if isinstance(answer, Unknown) else answer
        for server, answer in zip(servers, answers, strict=True)
    )


def ask(server: Server, now: Callable[[], datetime]) -> Answer:
    """Ask one server for its root. Certificates are not verified: whether it is there, and its clock, is all that is asked."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    proxies = urllib.request.ProxyHandler(None if server.through_proxy else {})
    opener = urllib.request.build_opener(proxies, urllib.request.HTTPSHandler(context=context))
    request = urllib.request.Request(server.url, method="GET")  # noqa: S310 - URLs of the node's own configuration
    begin = now()
    try:
        with opener.open(request, timeout=DEADLINE_SECONDS) as response:
            date = response.headers.get("Date")
    except urllib.error.HTTPError as error:
        with error:
            date = error.headers.get("Date")
    except (OSError, http.client.HTTPException) as error:
        return Answer(server=server, problem=f"{getattr(error, 'reason', '') or error}")
    return Answer(server=server, date=_moment(date), asked=begin + (now() - begin) / 2)


def resolve(names: Sequence[str]) -> tuple[Name, ...]:
    """Return names with their addresses; none for one that does not resolve in time."""
    answers = at_once(names, _addresses, DEADLINE_SECONDS)
    return tuple(Name(name=name, addresses=() if isinstance(found, Unknown) else found) for name, found in zip(names, answers, strict=True))


def _addresses(name: str) -> tuple[str, ...]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
