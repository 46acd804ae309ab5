"""What a command says about the machine, for all areas."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from agents.errors import TransientError
from agents.host.protocol import Host

#: No question to the machine takes longer, unless that is itself broken (df on a dead NFS server).
DEADLINE = timedelta(seconds=5)


def said(host: Host, argv: Sequence[str], *, may_fail: bool = False) -> str:
    """Return what a command says; TransientError where it fails, unless it `may_fail`."""
    result = host.run(argv, timeout=DEADLINE)
    if not result.ok and not may_fail:
        raise TransientError(f"`{' '.join(argv)}` exited with {result.exit_code}: {(result.stderr or result.stdout).strip()[:160]}")
    return result.stdout
