"""One look at the machine that may fail; and the two ways to look that all areas share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from agents.errors import AgentError, NotFoundError, TransientError
from agents.host.protocol import Host
from nodeup.doctor.view import Observed, Unknown

Value = TypeVar("Value")

#: No question to the machine takes longer, unless that is itself broken (df on a dead NFS server).
DEADLINE = timedelta(seconds=5)


def attempt(look: Callable[[], Value]) -> Observed[Value]:
    """Return what a look shows, or why it failed: every error of ours, of the machine and of a text that is not what was expected."""
    try:
        return look()
    except AgentError as error:
        return Unknown(" ".join(str(error).split()) or type(error).__name__)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return Unknown(f"{type(error).__name__}: {error}")


def text(host: Host, path: str) -> str:
    """Return a file's text; bytes that are none are replaced."""
    return host.read(path).decode(errors="replace")


def optional_text(host: Host, path: str) -> str:
    """Return a file's text, "" where there is no file."""
    try:
        return text(host, path)
    except NotFoundError:
        return ""


def said(host: Host, argv: Sequence[str], *, may_fail: bool = False) -> str:
    """Return what a command says; TransientError where it fails, unless it `may_fail`."""
    result = host.run(argv, timeout=DEADLINE)
    if not result.ok and not may_fail:
        raise TransientError(f"`{' '.join(argv)}` exited with {result.exit_code}: {(result.stderr or result.stdout).strip()[:160]}")
    return result.stdout
