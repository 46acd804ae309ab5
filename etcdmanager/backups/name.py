"""The names of backups: a UTC time, a dash and a suffix, as in `2018-02-20T04:47:55Z-000002`; pure.

The suffix only tells backups of one second apart. Names sort by time as text. Other software may use suffixes of
its own; names that do not parse are listed and restored, and never deleted by retention.

Source: the documented layout of etcd-manager's backup store.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from agents.errors import SpecError

_NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?)Z(?:-(.*))?", re.DOTALL)
#: The counter has six digits and wraps.
_SUFFIXES = 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class BackupName:
    """A name that parses. Ordered by text, which is by time."""

    text: str
    #: When it was taken, to the second.
    taken_at: datetime

    @staticmethod
    def parse(text: str) -> BackupName | None:
        """Return the name, or None where it is not of our pattern. A bare time, and one with an empty suffix, are valid."""
        match = _NAME.fullmatch(text)
        if match is None or "/" in text:
            return None
        try:
            taken_at = datetime.fromisoformat(match.group(1)).replace(tzinfo=UTC)
        except ValueError:
            return None
        return BackupName(text, taken_at)

    @staticmethod
    def at(now: datetime, counter: int) -> BackupName:
        """Return the name of a backup taken `now`; `counter` may be any number, its last six digits count."""
        taken_at = now.astimezone(UTC).replace(microsecond=0)
        return BackupName(f"{taken_at:%Y-%m-%dT%H:%M:%S}Z-{counter % _SUFFIXES:06d}", taken_at)

    def __str__(self) -> str:
        return self.text


def checked(text: str) -> str:
    """Return `text` if it can be a backup's directory name; SpecError otherwise, before it reaches any path."""
    if not text or text in {".", ".."} or "/" in text or "\0" in text:
        raise SpecError(f"{text!r} cannot be the name of a backup: it must be one path component", hint="etcd-manager list-backups")
    return text
