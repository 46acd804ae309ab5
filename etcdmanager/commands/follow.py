"""Following a queued restore until its receipt or its failure, and telling of it on stderr.

Ctrl-C never harms: a command that nobody claimed is withdrawn; one that a leader carries out goes on without us.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import timedelta
from enum import Enum

from agents.errors import (
    AccessError,
    AgentError,
    BusyError,
    ConflictError,
    DeadlineError,
    NotFoundError,
    RefusedError,
    TransientError,
    VerificationError,
)
from etcdmanager.commands.figures import bar, size_text
from etcdmanager.control.commands import PHASES, Failure, MemberProgress, Progress, Receipt, RestoreCommand, render_progress
from etcdmanager.control.store import ControlStore

_POLL_SECONDS = 0.4
#: How long a store may be away before we stop following; the restore itself does not depend on us.
_STORE_AWAY_SECONDS = 60.0
#: A queued command is taken on within seconds where a manager leads.
_NOBODY_LEADS_SECONDS = 20.0
_BAR = 24


class Style(Enum):
    """How progress is told."""

    #: One line that is drawn over and over.
    BAR = "bar"
    #: A line per finished phase.
    LINES = "lines"
    #: A JSON document per change.
    JSON = "json"


class Follower:
    """Follows one command."""

    def __init__(self, control: ControlStore, command: RestoreCommand, *, style: Style) -> None:
        self._control = control
        self._command = command
        self._style = style
        self._told: tuple[str, ...] = ()
        self._last: Progress | None = None

    def follow(self, timeout: timedelta) -> Receipt:
        """Return the receipt. The failure's own kind of error where it was given up; DeadlineError where `timeout` ends first."""
        began = time.monotonic()
        try:
            return self._poll(began, began + timeout.total_seconds())
        except KeyboardInterrupt:
            self._leave()
            raise
        finally:
            self._clear()

    def _poll(self, began: float, deadline: float) -> Receipt:
        away_since: float | None = None
        warned = False
        while time.monotonic() < deadline:
            try:
                receipt = self._look()
                away_since = None
            except TransientError:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > _STORE_AWAY_SECONDS:
                    raise
                receipt = None
            if receipt is not None:
                return receipt
            if self._last is None and not warned and time.monotonic() - began > _NOBODY_LEADS_SECONDS:
                warned = True
                self._say("still queued: no manager has taken it on; is one leading?")
            time.sleep(_POLL_SECONDS)
        raise DeadlineError(
            f"the restore is not finished; it goes on without this command (command {self._command.name})",
            code="restore-timeout",
            hint=self._way_back(),
        )

    def _way_back(self) -> str:
        """Return how a command that no manager has taken on is withdrawn; "" once one has."""
        if self._last is not None:
            return ""
        store = self._control.url.removesuffix("/control")
        return f"no manager has taken it on; to withdraw it: etcd-manager-ctl -backup-store={store} delete-command {self._command.backup}"

    def _look(self) -> Receipt | None:
        """Tell what is new; return the receipt when there is one."""
        name = self._command.name
        progress = self._control.progress(name)
        if progress is not None and progress != self._last:
            self._last = progress
            self._tell(progress)
        receipt = self._control.receipt(name)
        if receipt is not None:
            self._finish(receipt)
            return receipt
        failure = self._control.failure(name)
        if failure is not None:
            raise error_of(failure)
        if self._control.command(name) is None and self._control.receipt(name) is None and self._control.failure(name) is None:
            raise ConflictError(f"somebody deleted the command {name}; nothing is known to have been changed", code="command-deleted")
        return None

    # --- telling ---------------------------------------------------------------------------------------------------

    def _tell(self, progress: Progress) -> None:
        if self._style is Style.JSON:
            sys.stderr.write(render_progress(progress).decode())
            sys.stderr.flush()
            return
        for phase, seconds in progress.took.items():
            self._tell_finished(phase, seconds)
        if self._style is Style.BAR:
            members = "  ".join(_member(name, member) for name, member in sorted(progress.members.items()))
            line = f" ▸ {progress.phase:<9} {bar(progress.fraction, width=_BAR)} {progress.fraction:4.0%}  {members} {progress.message}"
            sys.stderr.write(f"\r\x1b[K{line[:150]}")
            sys.stderr.flush()

    def _tell_finished(self, phase: str, seconds: float) -> None:
        if phase not in self._told and phase not in {"queued", "done"}:
            self._told = (*self._told, phase)
            self._say(f" ✓ {phase:<9} {seconds:5.1f} s   {PHASES.get(phase, '')}")

    def _finish(self, receipt: Receipt) -> None:
        if self._style is Style.JSON:
            sys.stderr.write(json.dumps({"phase": "done", "fraction": 1.0, "command": receipt.command}) + "\n")
            return
        for phase, seconds in receipt.took.items():
            self._tell_finished(phase, seconds)

    def _say(self, line: str) -> None:
        self._clear()
        print(line, file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._style is Style.BAR:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    # --- leaving ---------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Withdraw the command if nobody claimed it; otherwise say that it goes on."""
        name = self._command.name
        try:
            if self._control.claim(name) is None and self._control.command(name) is not None:
                self._control.delete_command(name)
                # A leader reads the command once more after claiming; a claim made meanwhile finds it gone.
                if self._control.claim(name) is None:
                    self._say("withdrawn: nobody had taken it on; nothing was changed")
                    return
        except AgentError as error:
            self._say(f"could not withdraw the command: {error}")
        self._say("a manager carries the restore out; it goes on without this command (see etcd-manager status)")


def _member(name: str, member: MemberProgress) -> str:
    if not member.total:
        return f"{name} {member.step}"
    return f"{name} {member.step} {size_text(member.done)}/{size_text(member.total)}"


#: Codes begin with what they are about; the exit code follows from the class.
_BY_CODE: tuple[tuple[str, type[AgentError]], ...] = (
    ("S", RefusedError),
    ("backup-not-found", NotFoundError),
    ("not-found", NotFoundError),
    ("backup-", VerificationError),
    ("verification", VerificationError),
    ("gzip-", VerificationError),
    ("snapshot-", VerificationError),
    ("bolt-", VerificationError),
    ("restore-differs", VerificationError),
    ("busy", BusyError),
    ("access", AccessError),
)


def error_of(failure: Failure) -> AgentError:
    """Return the error that a given-up restore is for whoever asked for it; nothing was changed."""
    kind = next((kind for beginning, kind in _BY_CODE if failure.code.startswith(beginning)), AgentError)
    return kind(f"the restore was given up, nothing was changed: {failure.reason}", code=failure.code, hint=failure.hint)
