"""What nodeup is doing, for `nodeup status`, for the journal, and for the serial console of a machine that nobody can log in to.

The status file is rewritten when the phase changes, when something fails, and otherwise at most once a second; the
console gets one line for each phase and each failed attempt.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from agents.clock import Clock
from agents.errors import AgentError
from agents.host.protocol import Host
from agents.status import Status as AgentStatus
from agents.status import Waiting, write_status
from nodeup.bootstrap.refusal import Refusal
from nodeup.engine.converge import Outcome, Result, Status
from nodeup.engine.report import result_summary, timeline

log = logging.getLogger(__name__)

#: How old the status file may become while steps start and end; each write costs an fsync.
WRITE_EVERY = timedelta(seconds=1)
CONSOLE = Path("/dev/console")


class Progress:
    """The running attempt, as others see it."""

    def __init__(self, host: Host, clock: Clock, *, console: Path | None = None) -> None:
        self._host = host
        self._clock = clock
        self._console = console
        self._lock = threading.Lock()
        self._attempt = 0
        self._began = clock.now()
        self._phase = "starting"
        self._phases: list[dict[str, object]] = []
        self._phase_began = clock.monotonic()
        self._running: dict[str, datetime] = {}
        self._counts = dict.fromkeys(Status, 0)
        self._last_error = ""
        self._waiting_since = clock.now()
        self._written = 0.0

    def attempt(self, number: int) -> None:
        """Note that an attempt begins; the first is 1."""
        self._attempt = number
        self._phases = []
        self._counts = dict.fromkeys(Status, 0)
        self._running = {}

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
            self._log(outcome)
        due = self._clock.monotonic() - self._written >= WRITE_EVERY.total_seconds()
        if due or (outcome is not None and outcome.status is Status.FAILED):
            self._write("running", f"attempt {self._attempt}: {self._phase}, {len(self._running)} running")

    def done(self, result: Result) -> None:
        """Note that everything is as it should be."""
        self._end_phase()
        self._phase = "done"
        message = f"done: {result_summary(result)}"
        self._tell_console(message)
        self._write("done", message, extra={"timeline": timeline(result)})

    def waiting(self, error: AgentError, until: datetime) -> None:
        """Note that an attempt failed and when the next one begins."""
        self._end_phase()
        self._last_error = str(error)
        message = f"attempt {self._attempt} failed: {error}"
        log.warning("%s; the next begins at %s", message, until.isoformat(timespec="seconds"))
        self._tell_console(message)
        waiting = Waiting(reason="the next attempt", since=self._clock.now(), until=until, hint=error.hint, last_error=str(error))
        self._write("waiting", message, waiting=(waiting,))

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

    def failed(self, error: AgentError) -> None:
        """Note that nodeup gives up."""
        self._end_phase()
        self._last_error = str(error)
        self._tell_console(f"failed: {error}")
        self._write("failed", f"{type(error).__name__}: {error}", extra={"code": error.code, "hint": error.hint})

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
        if self._console is None:
            return
        try:
            with self._console.open("w") as console:
                console.write(f"nodeup: {text[:300]}\r\n")
        except OSError as error:
            log.debug("console: %s", error)

    def _write(self, state: str, message: str, *, waiting: tuple[Waiting, ...] = (), extra: Mapping[str, object] | None = None) -> None:
        now = self._clock.now()
        details: dict[str, object] = {
            "attempt": self._attempt,
            "phase": self._phase,
            "elapsedSeconds": round((now - self._began).total_seconds(), 1),
            "phases": list(self._phases),
            "running": [{"id": step, "seconds": round((now - since).total_seconds(), 1)} for step, since in sorted(self._running.items())],
            "steps": {status.value: count for status, count in self._counts.items()},
            "lastError": self._last_error,
            **(extra or {}),
        }
        with self._lock:
            status = AgentStatus(agent="nodeup", state=state, message=message, waiting=waiting, details=details, updated=now)
            write_status(self._host, status)
            self._written = self._clock.monotonic()
