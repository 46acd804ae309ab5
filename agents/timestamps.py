"""Points in time as text: RFC 3339, in and out, in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from agents.errors import SpecError

#: Go writes up to nine digits of a second; Python keeps six.
_PATTERN = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[-+]\d\d:\d\d)", re.ASCII)


def parse_timestamp(text: str, *, where: str) -> datetime:
    """Return the time in "2026-08-22T02:47:30Z" (also with an offset, or with up to nine decimals, cut to six); SpecError otherwise."""
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise SpecError(f"{where}: wanted a time such as 2026-08-22T02:47:30Z, found {text!r}")
    date, clock, decimals, offset = match.groups(default="")
    zone = "+00:00" if offset in {"Z", "z"} else offset
    try:
        return datetime.fromisoformat(f"{date}T{clock}.{decimals[:6]:0<6}{zone}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise SpecError(f"{where}: {text!r} is no time: {error}") from error


def format_timestamp(moment: datetime) -> str:
    """Return an aware time in UTC, "2026-08-22T02:47:30Z"; fractions of a second only where there are any."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    return f"{text.rstrip('0').rstrip('.')}Z"
