"""The outer loop: attempts until the node is as it should be, a person is needed, or the retries are used up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from agents.clock import Clock
from agents.errors import AgentError, RefusedError, SpecError, TransientError
from agents.retry import backoff
from nodeup.engine.converge import Result, Status
from nodeup.engine.report import result_summary
from nodeup.progress import Progress

#: kops pauses 30 s, every node at the same beat; these have the same mean after some attempts, and full jitter.
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(seconds=60)
#: Retried, but nothing is lost by waiting: only a human may decide otherwise.
_FINAL = (SpecError, RefusedError)


class StoppableClock:
    """The machine's clock, but that sleeping ends with Stopped as soon as nodeup is told to stop; for waits deep inside a step."""

    def __init__(self, clock: Clock, stopping: threading.Event) -> None:
        self._clock = clock
        self._stopping = stopping

    def now(self) -> datetime:
        """Return the wall-clock time."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""
        return self._clock.monotonic()

    def sleep(self, duration: timedelta) -> None:
        """Return after `duration`; Stopped when nodeup is told to stop before that."""
        if self._stopping.wait(max(0.0, duration.total_seconds())):
            raise Stopped("nodeup was told to stop while it waited; the next run goes on")


class Stopped(AgentError):  # noqa: N818 - it is no error, but the end of the loop by order
    """nodeup was told to stop between two attempts; what was begun is completed by the next run."""

    code = "stopped"


def attempts(
    attempt: Callable[[], Result],
    *,
    retries: int,
    progress: Progress,
    clock: Clock,
    random: Callable[[], float],
    pause: Callable[[timedelta], bool],
) -> Result:
    """Return the result of the first complete attempt.

    `retries` is how many more attempts follow the first, -1 for no limit. `pause` waits and says whether to stop instead
    (Stopped). SpecError and RefusedError end the loop at once: the same input gives the same error. When the retries are used up,
    the last attempt's first error is raised.
    """
    number = 1
    for duration in backoff(first=FIRST_PAUSE, cap=LONGEST_PAUSE, random=random):
        progress.attempt(number)
        error = _error_of(attempt, progress)
        if not isinstance(error, AgentError):
            return error
        if isinstance(error, _FINAL) or 0 <= retries < number:
            progress.failed(error)
            raise error
        progress.waiting(error, clock.now() + duration)
        if pause(duration):
            raise Stopped("nodeup was told to stop; the next run completes what is missing")
        number += 1
    raise AssertionError("a backoff schedule has no end")


def _error_of(attempt: Callable[[], Result], progress: Progress) -> Result | AgentError:
    try:
        result = attempt()
    except AgentError as error:
        return error
    if result.is_complete:
        progress.done(result)
        return result
    return first_error(result)


def first_error(result: Result) -> AgentError:
    """Return what to say about an incomplete attempt: the one that is retried, if there is any, else the one that is final."""
    errors = [outcome.error for outcome in result.with_status(Status.FAILED) if outcome.error is not None]
    retried = [error for error in errors if not isinstance(error, _FINAL)]
    if retried:
        others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        # Of the same kind: a script learns from the exit code that a disk is read-only, or an asset not what it claims to be.
        return type(retried[0])(f"{retried[0]}{others}; {result_summary(result)}", code=retried[0].code, hint=retried[0].hint)
    return errors[0] if errors else TransientError(f"the run was stopped: {result_summary(result)}", code="stopped")
