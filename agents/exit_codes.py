"""What the processes of this project exit with; the one place that maps errors to exit codes."""

from __future__ import annotations

from enum import IntEnum

from agents import errors


class ExitCode(IntEnum):
    """The exit codes of all commands; scripts may rely on them (docs/contracts.md lists them)."""

    OK = 0
    ERROR = 1
    #: The command worked, and what it found wants attention: drift, a degraded cluster, a stale backup.
    FINDING = 2
    USAGE = 3
    REFUSED = 4
    NOT_FOUND = 5
    VERIFICATION = 6
    BUSY = 7
    TIMEOUT = 8
    ACCESS = 9
    #: EX_TEMPFAIL of sysexits.h.
    TEMPORARY = 75
    #: 128 + SIGINT: interrupted at a point where nothing is half-done.
    INTERRUPTED = 130


_BY_ERROR: tuple[tuple[type[errors.AgentError], ExitCode], ...] = (
    (errors.SpecError, ExitCode.USAGE),
    (errors.TransientError, ExitCode.TEMPORARY),
    (errors.RefusedError, ExitCode.REFUSED),
    (errors.NotFoundError, ExitCode.NOT_FOUND),
    (errors.VerificationError, ExitCode.VERIFICATION),
    (errors.ConflictError, ExitCode.TEMPORARY),
    (errors.BusyError, ExitCode.BUSY),
    (errors.DeadlineError, ExitCode.TIMEOUT),
    (errors.AccessError, ExitCode.ACCESS),
    (errors.InvariantError, ExitCode.ERROR),
)


def exit_code_of(error: errors.AgentError) -> ExitCode:
    """Return the exit code that tells a script who must act on `error`."""
    for kind, code in _BY_ERROR:
        if isinstance(error, kind):
            return code
    return ExitCode.ERROR
