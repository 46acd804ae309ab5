"""What nodeup is doing, for `nodeup status`, for the journal, and for the serial console of a machine that nobody can log in to.

The status file is rewritten when the phase changes, when something fails, and otherwise at most once a second; the
console gets one line for each phase, each failed attempt, each new reason to wait, and the end with where the time went.
The end of an attempt is also kept on disk (`LAST_RUN`), so that after a reboot it is known how the last boot went.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from agents.clock import Clock
from agents.errors import AgentError, NotFoundError
from agents.host.protocol import Host
from agents.status import Status as AgentStatus
from agents.status import Waiting, write_status
from agents.timestamps import format_timestamp
from nodeup.bootstrap.refusal import Refusal
from nodeup.engine.converge import Outcome, Result, Status
from nodeup.engine.report import result_summary, timeline
from nodeup.last_status import LAST_RUN
from nodeup.this_machine import boot_id

log = logging.getLogger(__name__)

#: How old the status file may become while steps start and end; each write costs an fsync.
WRITE_EVERY = timedelta(seconds=1)
CONSOLE = Path("/dev/console")
#: The consoles of the kernel, by name; the last one is /dev/console.
ACTIVE_CONSOLES = "/sys/class/tty/console/active"
#: Of these only the serial ones are written to besides /dev/console: clouds record those, screens nobody reads.
_SERIAL = ("ttyS", "ttyAMA", "hvc", "xvc")
#: How many of the slowest kinds of steps the last line on the console names.
_SLOWEST = 3


class Progress:
    """The running attempt, as others see it."""

    def __init__(self, host: Host, clock: Clock, *, console: Path | None = None) -> None:
        self._host = host
        self._clock = clock
        self._consoles = () if console is None else (console, *_other_serial_consoles(host))
        self._boot_id = boot_id(host)
        self._lock = threading.Lock()
        self._attempt = 0
        self._began = clock.now()
        self._phase = "starting"
        self._phases: list[dict[str, object]] = []
        self._phase_began = clock.monotonic()
        self._running: dict[str, datetime] = {}
        #: What steps wait for, by reason; written from their threads.
        self._waits: dict[str, Waiting] = {}
        self._counts = dict.fromkeys(Status, 0)
        self._ended: list[Outcome] = []
        self._last_error = ""
        self._waiting_since = clock.now()
        self._written = 0.0

    def attempt(self, number: int) -> None:
        """Note that an attempt begins; the first is 1."""
        self._attempt = number
        self._phases = []
        self._counts = dict.fromkeys(Status, 0)
        self._running = {}
        self._ended = []

    def phase(self, name: str, message: str = "") -> None:
        """Note that a phase begins, and the one before ended."""
        self._end_phase()
        self._phase = name
        text = f"attempt {self._attempt}: {name}{f' {message}' if message else ''}"
        log.info("%s", text)
        self._tell_console(text)
        self._write("running", text)

    def event(self, step: str, outcome: Outcome | None) -> None:
        """Note that a step starts (None) or ended; to be given to `converge`."""
        if outcome is None:
            self._running[step] = self._clock.now()
        else:
            self._running.pop(step, None)
            self._counts[outcome.status] += 1
            self._ended.append(outcome)
            self._log(outcome)
        due = self._clock.monotonic() - self._written >= WRITE_EVERY.total_seconds()
        if due or (outcome is not None and outcome.status is Status.FAILED):
            self._write("running", f"attempt {self._attempt}: {self._phase}, {len(self._running)} running", waiting=self._waited_for())

    def done(self, result: Result) -> None:
        """Note that everything is as it should be."""
        self._end_phase()
        self._phase = "done"
        message = f"done: {result_summary(result)}"
        self._ended = list(result.outcomes)
        self._tell_console(f"{message}; {_where_time_went(self._phases, timeline(result))}")
        self._write("done", message, is_end=True)

    def waiting(self, error: AgentError, until: datetime) -> None:
        """Note that an attempt failed and when the next one begins."""
        self._end_phase()
        self._last_error = str(error)
        message = f"attempt {self._attempt} failed: {error}"
        log.warning("%s; the next begins at %s", message, until.isoformat(timespec="seconds"))
        self._tell_console(message)
        waiting = Waiting(reason="the next attempt", since=self._clock.now(), until=until, hint=error.hint, last_error=str(error))
        self._write("waiting", message, waiting=(waiting,), is_end=True)

    def waiting_for_controller(self, refusal: Refusal, until: datetime) -> None:
        """Note that kops-controller gave no answer yet, and when it is asked again."""
        if refusal.message != self._last_error:
            self._tell_console(f"waiting: {refusal.message}")
            self._waiting_since = self._clock.now()
        self._last_error = refusal.message
        waiting = Waiting(
            reason=f"kops-controller ({refusal.reason.value})",
            since=self._waiting_since,
            until=until,
            hint=refusal.hint,
            last_error=refusal.message,
        )
        self._write("waiting", f"attempt {self._attempt}: {self._phase}: {refusal.message}", waiting=(waiting,))

    def waiting_in_a_step(self, reason: str, waiting: Waiting | None) -> None:
        """Note what a step waits for, or that it does so no longer (None); other steps may go on meanwhile."""
        is_new = reason not in self._waits
        if waiting is None:
            self._waits.pop(reason, None)
        else:
            self._waits[reason] = waiting
        if waiting is not None and is_new:
            log.info("waiting for %s: %s", reason, waiting.last_error)
        due = self._clock.monotonic() - self._written >= WRITE_EVERY.total_seconds()
        if due or is_new or waiting is None:
            self._write("running", f"attempt {self._attempt}: {self._phase}, {len(self._running)} running", waiting=self._waited_for())

    def _waited_for(self) -> tuple[Waiting, ...]:
        return tuple(waiting for _, waiting in sorted(self._waits.items()))

    def failed(self, error: AgentError) -> None:
        """Note that nodeup gives up."""
        self._end_phase()
        self._last_error = str(error)
        self._tell_console(f"failed: {error}")
        self._write("failed", f"{type(error).__name__}: {error}", extra={"code": error.code, "hint": error.hint}, is_end=True)

    def _log(self, outcome: Outcome) -> None:
        match outcome.status:
            case Status.CHANGED:
                log.info("%s changed (%.1f s)", outcome.id, outcome.duration.total_seconds())
            case Status.FAILED:
                log.error("%s failed: %s", outcome.id, outcome.error)
            case Status.SKIPPED:
                log.warning("%s skipped: %s", outcome.id, outcome.reason)
            case Status.UNCHANGED:
                log.debug("%s is as wanted", outcome.id)

    def _end_phase(self) -> None:
        now = self._clock.monotonic()
        if self._phase not in {"starting", "done"}:
            self._phases.append({"phase": self._phase, "seconds": round(now - self._phase_began, 3)})
        self._phase_began = now

    def _tell_console(self, text: str) -> None:
        for console in self._consoles:
            try:
                _write_to_terminal(console, f"nodeup: {text[:300]}\r\n")
            except OSError as error:
                log.debug("console %s: %s", console, error)

    def _write(
        self,
        state: str,
        message: str,
        *,
        waiting: tuple[Waiting, ...] = (),
        extra: Mapping[str, object] | None = None,
        is_end: bool = False,
    ) -> None:
        now = self._clock.now()
        details: dict[str, object] = {
            "attempt": self._attempt,
            "phase": self._phase,
            "bootId": self._boot_id,
            "began": format_timestamp(self._began),
            "elapsedSeconds": round((now - self._began).total_seconds(), 1),
            "phases": list(self._phases),
            "running": [
                {"id": step, "since": format_timestamp(since), "seconds": round((now - since).total_seconds(), 1)}
                for step, since in sorted(self._running.items())
            ],
            "steps": {status.value: count for status, count in self._counts.items()},
            "timeline": timeline(Result(outcomes=tuple(self._ended), duration=now - self._began)),
            "lastError": self._last_error,
            **(extra or {}),
        }
        with self._lock:
            status = AgentStatus(agent="nodeup", state=state, message=message, waiting=waiting, details=details, updated=now)
            try:
                write_status(self._host, status)
                if is_end:
                    write_status(self._host, status, LAST_RUN)
            except AgentError as error:
                # A full disk must not hide what failed because of it.
                log.warning("the status could not be written: %s", error)
            self._written = self._clock.monotonic()


def _other_serial_consoles(host: Host) -> tuple[Path, ...]:
    """Return the serial consoles of the kernel that /dev/console does not lead to."""
    try:
        names = host.read(ACTIVE_CONSOLES).decode(errors="replace").split()
    except NotFoundError:
        return ()
    return tuple(Path("/dev") / name for name in names[:-1] if name.startswith(_SERIAL))


def _write_to_terminal(path: Path, text: str) -> None:
    """Write without ever waiting: a serial line that nobody reads must not hold up a node, nor become our controlling terminal."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _where_time_went(phases: Sequence[Mapping[str, object]], rows: Sequence[Mapping[str, object]]) -> str:
    """Return "load 0.3 s, apply 12.1 s; slowest: package 8.0 s, unit:kubelet.service 2.1 s"."""
    parts = [f"{phase['phase']} {phase['seconds']:.1f} s" for phase in phases]
    lasted = sorted(((seconds_of(row), str(row["phase"])) for row in rows), reverse=True)[:_SLOWEST]
    slowest = [f"{name} {seconds:.1f} s" for seconds, name in lasted if seconds > 0]
    return "; ".join([", ".join(parts), *([f"slowest: {', '.join(slowest)}"] if slowest else [])])


def seconds_of(row: Mapping[str, object]) -> float:
    """Return how long a row of a timeline lasted, from its first step's begin to its last one's end; 0 for a row without times."""
    begin, end = row.get("from"), row.get("to")
    return end - begin if isinstance(begin, int | float) and isinstance(end, int | float) else 0.0
