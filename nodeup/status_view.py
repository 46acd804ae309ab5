"""What `nodeup status` shows of a status document: phase, waiting, current steps, and bars of where the time went. Pure.

A status document is what `nodeup.progress` wrote. Whether its writer is still alive is the caller's to find out: a document
that says "running" while nobody holds nodeup's lock is of a process that died.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.durations import format_age
from agents.errors import SpecError
from agents.status import Status, Waiting
from agents.timestamps import format_timestamp, parse_timestamp

#: The longest bar, in cells; a row then fits into 80 columns.
BAR_CELLS = 30
#: How many running steps are shown; the oldest first, because they are what is waited for.
SHOWN_RUNNING = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusView:
    """A status, and what is known of it from outside."""

    hostname: str
    status: Status
    now: datetime
    #: Whether a nodeup holds the lock now.
    is_alive: bool
    #: Whether the document was written before the machine last booted.
    is_before_boot: bool

    @property
    def state(self) -> str:
        """One word: the document's own, or "died" where it was at work and is no more."""
        is_at_work = self.status.state in {"starting", "running", "waiting"}
        return "died" if is_at_work and not self.is_alive else self.status.state

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state in {"done", "failed", "died"} or self.is_before_boot


def status_lines(view: StatusView) -> Iterator[str]:
    """Yield the status for people."""
    details = view.status.details
    where = f"  phase {details['phase']}" if details.get("phase") and view.state != "done" else ""
    attempt = f"  attempt {details['attempt']}" if details.get("attempt") else ""
    yield f"{view.hostname}  {view.state}{where}{attempt}{_ages(view)}"
    if view.is_before_boot:
        yield "  this is of an earlier boot: nodeup has not run since the machine booted (journalctl -u kops-configuration)"
    yield f"  {view.status.message}"
    for waiting in view.status.waiting:
        yield from _waiting_lines(waiting, view.now)
    hint = details.get("hint")
    if isinstance(hint, str) and hint and not view.status.waiting:
        yield f"  hint: {hint}"
    if view.state == "died":
        yield "  hint: journalctl -u kops-configuration says how it ended; `nodeup apply` completes what is missing"
    yield from _running_lines(details, view)
    yield from _bars(details)


def status_document(view: StatusView) -> dict[str, object]:
    """Return the status for programs."""
    return {
        "hostname": view.hostname,
        "state": view.state,
        "message": view.status.message,
        "updated": None if view.status.updated is None else format_timestamp(view.status.updated),
        "isOfEarlierBoot": view.is_before_boot,
        "waiting": [
            {
                "reason": waiting.reason,
                "since": format_timestamp(waiting.since),
                "until": None if waiting.until is None else format_timestamp(waiting.until),
                "hint": waiting.hint,
                "lastError": waiting.last_error,
            }
            for waiting in view.status.waiting
        ],
        "details": dict(view.status.details),
    }


def _ages(view: StatusView) -> str:
    began = _moment(view.status.details.get("began"))
    updated = view.status.updated
    if view.state == "done" and updated is not None:
        took = f"  took {format_age(updated - began)}" if began is not None else ""
        return f"{took}, {format_age(view.now - updated)} ago"
    return f"  since {format_age(view.now - began)}" if began is not None else ""


def _waiting_lines(waiting: Waiting, now: datetime) -> Iterator[str]:
    until = "" if waiting.until is None else f", tried again {_in(waiting.until - now)}"
    yield f"  waiting for {waiting.reason}, since {format_age(now - waiting.since)}{until}"
    if waiting.last_error:
        yield f"    last error: {waiting.last_error}"
    if waiting.hint:
        yield f"    hint: {waiting.hint}"


def _in(duration: timedelta) -> str:
    return f"in {format_age(duration)}" if duration > timedelta() else "now"


def _running_lines(details: Mapping[str, object], view: StatusView) -> Iterator[str]:
    if view.state != "running":
        return
    found: list[tuple[datetime, str]] = []
    for row in _rows(details.get("running")):
        since = _moment(row.get("since"))
        if since is not None:
            found.append((since, str(row.get("id"))))
    for since, step in sorted(found)[:SHOWN_RUNNING]:
        yield f"  now: {step}, for {format_age(view.now - since)}"
    if len(found) > SHOWN_RUNNING:
        yield f"  now: … and {len(found) - SHOWN_RUNNING} more"


def _bars(details: Mapping[str, object]) -> Iterator[str]:
    """Yield a table of phases, then one of kinds of steps, each row with a bar from its begin to its end."""
    phases: list[tuple[str, float, float, str]] = []
    begin = 0.0
    for row in _rows(details.get("phases")):
        lasted = _number(row.get("seconds"))
        phases.append((str(row.get("phase")), begin, begin + lasted, ""))
        begin += lasted
    kinds = [
        (str(row.get("phase")), _number(row.get("from")), _number(row.get("to")), f"{row.get('steps')} steps, {row.get('changed')} changed")
        for row in _rows(details.get("timeline"))
    ]
    for title, rows in (("phases", phases), ("steps", kinds)):
        if rows:
            yield ""
            yield from _bar_table(title, rows)


def _bar_table(title: str, rows: Sequence[tuple[str, float, float, str]]) -> Iterator[str]:
    end = max(row[2] for row in rows) or 1.0
    width = max(len(title), *(len(row[0]) for row in rows))
    yield f"  {title.ljust(width)}  {'0 s'.ljust(BAR_CELLS - 8)}{f'{end:.1f} s'.rjust(8)}"
    for name, begin, until, note in rows:
        first = min(BAR_CELLS - 1, int(begin / end * BAR_CELLS))
        cells = max(1, min(BAR_CELLS - first, round((until - begin) / end * BAR_CELLS)))
        bar = f"{' ' * first}{'■' * cells}".ljust(BAR_CELLS)
        yield f"  {name.ljust(width)}  {bar}  {until - begin:6.1f} s  {note}".rstrip()


def _rows(value: object) -> Iterator[Mapping[str, object]]:
    """Yield the mappings of a list; anything else, which only another version can have written, is skipped."""
    if isinstance(value, list):
        yield from (row for row in value if isinstance(row, Mapping))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return parse_timestamp(value, where="status")
    except SpecError:
        return None
