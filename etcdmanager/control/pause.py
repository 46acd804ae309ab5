"""`control/_pause.json`: that an operator wants the leading manager to begin nothing by itself for a while. Go never looks there.

    {"until": "2026-11-20T18:00:00Z", "by": "root@cp-a", "reason": "INC-123", "since": "2026-11-20T17:00:00Z"}

It ends by itself; nobody need remember to take it away. What may still be done meanwhile is in `etcdmanager.leader.paused`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.errors import NotFoundError, SpecError
from agents.stores.protocol import Store
from etcdmanager.protojson import parse_object, render_object, time_text

PAUSE = "_pause.json"
#: A pause that is longer was forgotten: nothing would be repaired, upgraded or tidied up behind everybody's back.
LONGEST = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A pause: until when, by whom (user@host), and why ("" where nobody said)."""

    until: datetime
    by: str
    since: datetime
    reason: str = ""

    def holds(self, now: datetime) -> bool:
        """Return whether it is not over yet."""
        return now < self.until


class PauseFile:
    """The pause of one etcd cluster. Methods block, as a Store does."""

    def __init__(self, control: Store) -> None:
        """`control` is the control store's own Store."""
        self._control = control

    def read(self) -> Pause | None:
        """Return the pause, which may be over; None where there is none. SpecError for a document that does not parse."""
        try:
            content = self._control.read(PAUSE)
        except NotFoundError:
            return None
        return parse_pause(content, where=f"{self._control.url}/{PAUSE}")

    def write(self, pause: Pause) -> None:
        """Begin a pause, or change the one that is."""
        self._control.write(PAUSE, render_pause(pause))

    def end(self) -> None:
        """Take it away; nothing happens where there is none."""
        self._control.delete(PAUSE)


def parse_pause(content: bytes, *, where: str) -> Pause:
    """Return what `_pause.json` says; SpecError for what is none."""
    fields = parse_object(content, where=where)
    until, since = fields.time("until"), fields.time("since")
    if until is None:
        raise SpecError(f"{where} does not say until when", hint="`etcd-manager resume` takes it away")
    return Pause(until=until, by=fields.text("by"), since=since or until, reason=fields.text("reason"))


def render_pause(pause: Pause) -> bytes:
    """Return the document."""
    return render_object([("until", time_text(pause.until)), ("by", pause.by), ("reason", pause.reason), ("since", time_text(pause.since))])
