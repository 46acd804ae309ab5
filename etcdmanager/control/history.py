"""Who did what to an etcd cluster: one line of JSON for each event, a document for each day, in `control/_history/`.

    control/_history/2026-11-20.jsonl    {"at": "…Z", "by": "root@cp-a", "what": "restore-backup", "text": "…", "reason": "INC-123"}

Leaders and commands append by conditional writes, so that none takes away what another wrote. The Go programs never look there.
It is for people: nothing is decided by it, and that it cannot be written stops nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agents.errors import AgentError, ConflictError, NotFoundError, SpecError
from agents.stores.protocol import Store
from agents.timestamps import format_timestamp, parse_timestamp

log = logging.getLogger(__name__)

_DIRECTORY = "control/_history"
_SUFFIX = ".jsonl"
#: How long a day's document stays.
KEEP = timedelta(days=90)
#: Only as many write at one moment as there are managers and people at their keyboards.
_ATTEMPTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that was done, begun, refused or found."""

    at: datetime
    #: user@host of a command, or the manager with its epoch.
    by: str
    #: The verb or action, in the words of the command line: restore-backup, remove-member, leadership.
    what: str
    text: str
    #: What the operator gave as a reason; "" without one.
    reason: str = ""


class History:
    """The history of one etcd cluster. Methods block, as a Store does."""

    def __init__(self, backup_store: Store) -> None:
        self._store = backup_store.child(_DIRECTORY)

    def append(self, event: Event) -> None:
        """Add an event to its day; ConflictError where others were always faster, and a Store's errors."""
        key = f"{event.at.astimezone(UTC):%Y-%m-%d}{_SUFFIX}"
        line = _line(event)
        for _ in range(_ATTEMPTS):
            try:
                found = self._store.read_versioned(key)
            except NotFoundError:
                try:
                    self._store.create(key, line)
                except ConflictError:
                    continue
                return
            try:
                self._store.replace_if_unchanged(key, found.content + line, found.version)
            except ConflictError:
                continue
            return
        raise ConflictError(f"{self._store.url}/{key} changed {_ATTEMPTS} times while an event was added to it")

    def note(self, event: Event) -> None:
        """Add an event if that is possible, and else log it: what is done must not fail for its record."""
        try:
            self.append(event)
        except AgentError as error:
            log.warning("%s by %s (%s) could not be written to the history: %s", event.what, event.by, event.text, error)

    def events(self, *, since: datetime | None = None) -> tuple[Event, ...]:
        """Return the events, oldest first; lines that are no events are left out."""
        found: list[Event] = []
        for entry in self._store.list():
            if entry.key.endswith(_SUFFIX) and (since is None or _is_of_or_after(entry.key, since)):
                found += _events(self._store.read(entry.key))
        return tuple(sorted((event for event in found if since is None or event.at >= since), key=lambda event: event.at))

    def forget(self, now: datetime) -> None:
        """Delete the days that are older than KEEP; a name that is no day stays."""
        oldest = f"{now.astimezone(UTC) - KEEP:%Y-%m-%d}{_SUFFIX}"
        for entry in self._store.list():
            if len(entry.key) == len(oldest) and entry.key[:4].isdigit() and entry.key < oldest:
                self._store.delete(entry.key)


def _is_of_or_after(key: str, since: datetime) -> bool:
    return key >= f"{since.astimezone(UTC):%Y-%m-%d}"


def _line(event: Event) -> bytes:
    document = {"at": format_timestamp(event.at), "by": event.by, "what": event.what, "text": event.text}
    if event.reason:
        document["reason"] = event.reason
    return json.dumps(document).encode() + b"\n"


def _events(content: bytes) -> Iterator[Event]:
    for line in content.splitlines():
        try:
            document: object = json.loads(line)
            if not isinstance(document, dict):
                continue
            yield Event(
                at=parse_timestamp(str(document.get("at")), where="history"),
                by=str(document.get("by", "")),
                what=str(document.get("what", "")),
                text=str(document.get("text", "")),
                reason=str(document.get("reason", "")),
            )
        except (ValueError, SpecError):
            continue
