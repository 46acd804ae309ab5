"""Running host commands, and waiting under a deadline: what the rest of the harness is made of."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class HarnessError(Exception):
    """The test bed itself failed, as opposed to what is tested on it."""


def host(*argv: object, stdin: str | None = None, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command on the host and return how it ended; HarnessError for a non-zero exit unless `check` is off."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, text=True, input=stdin, capture_output=True, check=False, timeout=timeout)
    if check and done.returncode:
        raise HarnessError(f"{' '.join(words)[:200]}: exit {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done


def eventually(condition: Callable[[], T | None], *, within: float, what: str, every: float = 0.05) -> T:
    """Return the first true answer of `condition`; HarnessError naming `what` after `within` seconds."""
    end = time.monotonic() + within
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > end:
            raise HarnessError(f"{what}: not within {within:g} s")
        time.sleep(every)
