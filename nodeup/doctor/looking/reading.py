"""The two ways to look at a machine that all areas share: what a file has, and what a command says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from agents.errors import NotFoundError, TransientError
from agents.host.protocol import Host

#: No question to the machine takes longer, unless that is itself broken (df on a dead NFS server).
DEADLINE = timedelta(seconds=5)


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
