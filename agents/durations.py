"""Durations as text: Go's ("1h30m0s", in specs), people's ("90m", "7d", on command lines), and ages ("9m41s", in tables)."""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction

from agents.errors import SpecError

#: Seconds of each of Go's units; both ways to write "micro".
_GO_UNITS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_HUMAN_UNITS = _GO_UNITS | {"d": Fraction(86400), "w": Fraction(7 * 86400)}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([a-zµμ]+)")
#: A Go duration is an int64 of nanoseconds: 292 years.
_LONGEST = timedelta(microseconds=(2**63 - 1) // 1000)


def parse_go_duration(text: str) -> timedelta:
    """Return what Go's time.ParseDuration reads ("1h30m", "1.5h", "-2s", "0"); finer than a microsecond is rounded. SpecError otherwise."""
    return _parse(text, units=_GO_UNITS, example="1h30m0s")


def parse_human_duration(text: str) -> timedelta:
    """Return a duration as an operator types it: Go's syntax plus "d" (24 hours) and "w" (7 days). SpecError otherwise."""
    return _parse(text, units=_HUMAN_UNITS, example="90m or 7d")


def format_go_duration(duration: timedelta) -> str:
    """Return a duration as Go's Duration.String() does: "0s", "1m30s", "1h0m0s", "1.5s", "250ms", "3µs"."""
    sign = "-" if duration < timedelta() else ""
    microseconds = abs(duration) // timedelta(microseconds=1)
    if microseconds == 0:
        return "0s"
    if microseconds < 1000:
        return f"{sign}{microseconds}µs"
    if microseconds < 10**6:
        return f"{sign}{_decimal(microseconds, 3)}ms"
    minutes, rest = divmod(microseconds, 60 * 10**6)
    hours, minutes_left = divmod(minutes, 60)
    seconds = f"{_decimal(rest, 6)}s"
    if hours:
        return f"{sign}{hours}h{minutes_left}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


def format_age(duration: timedelta) -> str:
    """Return the two leading units of a duration, for people: "0s", "9m41s", "4h47m", "3d2h", "312d". A negative one is "0s"."""
    seconds = max(0, int(duration.total_seconds()))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days >= 10:
        return f"{days}d"
    for count, unit, rest, smaller in ((days, "d", hours, "h"), (seconds // 3600, "h", minutes, "m"), (minutes, "m", seconds % 60, "s")):
        if count:
            return f"{count}{unit}{rest}{smaller}" if rest else f"{count}{unit}"
    return f"{seconds}s"


def _parse(text: str, *, units: dict[str, Fraction], example: str) -> timedelta:
    problem = SpecError(f"wanted a duration such as {example}, found {text!r}")
    body = text.strip()
    negative = body.startswith("-")
    body = body[1:] if body[:1] in {"-", "+"} and body else body
    if body == "0":
        return timedelta()
    parts = list(_PART.finditer(body))
    if not parts or "".join(part[0] for part in parts) != body or any(part[2] not in units for part in parts):
        raise problem
    seconds = sum((Fraction("0" + part[1].rstrip(".")) * units[part[2]] for part in parts), Fraction())
    microseconds = round(seconds * 10**6)
    if microseconds > _LONGEST // timedelta(microseconds=1):
        raise problem
    return timedelta(microseconds=-microseconds if negative else microseconds)


def _decimal(value: int, places: int) -> str:
    whole, rest = divmod(value, 10**places)
    fraction = f"{rest:0{places}d}".rstrip("0")
    return f"{whole}.{fraction}" if fraction else str(whole)
