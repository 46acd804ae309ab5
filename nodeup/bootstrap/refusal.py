"""Why an attempt brought no answer, as a value: what it means, what to do, and when to come back at the earliest. Pure.

nothing was asked      NAME UNREACHABLE UNTRUSTED IDENTITY
it was asked and said  429, 503 THROTTLED · 403 DENIED · 409 JOINED · 4xx REJECTED · else FAILED · 200 with rubbish MALFORMED
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum


class Reason(Enum):
    """What kind of no it is."""

    #: The name has no address yet, or kops' placeholder.
    NAME = "name"
    UNREACHABLE = "unreachable"
    #: The server's certificate does not verify.
    UNTRUSTED = "untrusted"
    #: We cannot prove who we are: the metadata service does not answer.
    IDENTITY = "identity"
    THROTTLED = "throttled"
    DENIED = "denied"
    #: A Node of this name is registered and Ready.
    JOINED = "joined"
    REJECTED = "rejected"
    FAILED = "failed"
    MALFORMED = "malformed"


#: In these cases another server may answer at once: this one was never asked.
NOT_ASKED = frozenset({Reason.NAME, Reason.UNREACHABLE, Reason.UNTRUSTED})

_HINTS = {
    Reason.DENIED: "kops-controller's log says why it did not believe the token: instance role, clock, or instance group's tag",
    Reason.JOINED: "a Node of this name is Ready; if it is not this machine, delete that Node",
    Reason.REJECTED: "if CA keys were rotated, update the cluster and replace this node",
    Reason.FAILED: "see the log of kops-controller on the control plane",
    Reason.THROTTLED: "many nodes join at once; nothing needs to be done",
}

_LONGEST_QUOTE = 300

#: What kops-controller bears of clocks that are apart (reference/nodeup.md 1.7.3); past it no signed claim is believed.
MOST_SKEW = timedelta(seconds=300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One attempt that brought nothing."""

    reason: Reason
    #: A sentence that names the server and what it said.
    message: str
    hint: str = ""
    #: What the server asked for; None where it asked for nothing.
    retry_after: timedelta | None = None


def refusal_of_status(status: int, said: bytes, retry_after: str | None, *, where: str, now: datetime, date: str | None = None) -> Refusal:
    """Return what an HTTP status other than 200 means; `retry_after` and `date` are headers: seconds or a date, and the server's time."""
    match status:
        case 429 | 503:
            reason = Reason.THROTTLED
        case 403 | 401:
            reason = Reason.DENIED
        case 409:
            reason = Reason.JOINED
        case _ if 400 <= status < 500:
            reason = Reason.REJECTED
        case _:
            reason = Reason.FAILED
    message, hint = f"{where} answered {status}: {first_line(said) or 'nothing more'}", _HINTS[reason]
    skew = _skew(date, now)
    if reason is Reason.DENIED and abs(skew) > MOST_SKEW:
        message += f"; this machine's clock is {_span(skew)} {'ahead of' if skew > timedelta() else 'behind'} the server's"
        hint = "set this machine's clock (timedatectl, chronyc makestep), or the server's: claims are believed for five minutes"
    return Refusal(
        reason=reason,
        message=message,
        hint=hint,
        retry_after=_pause(retry_after, now),
    )


def first_line(said: bytes) -> str:
    """Return what of a body can be quoted: its first line, printable, of bounded length."""
    lines = said.decode(errors="replace").strip().splitlines()
    return re.sub(r"[^\x20-\x7e\u00a0-\uffff]", "?", lines[0])[:_LONGEST_QUOTE] if lines else ""


def _skew(date: str | None, now: datetime) -> timedelta:
    """Return how far `now` is ahead of a Date header; nothing where there is none that can be read."""
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return timedelta()
    return now - (theirs if theirs.tzinfo is not None else theirs.replace(tzinfo=UTC))


def _span(skew: timedelta) -> str:
    minutes = round(abs(skew).total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _pause(header: str | None, now: datetime) -> timedelta | None:
    """Return the pause that a Retry-After asks for; None where it is neither seconds nor a date, or not in the future."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        # Bounded before it becomes a timedelta, which ends at a billion days.
        return timedelta(seconds=int(text[:9]))
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    pause = (date if date.tzinfo is not None else date.replace(tzinfo=UTC)) - now
    return pause if pause > timedelta() else None
