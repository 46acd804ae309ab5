"""Asking systemd about units, and telling it what to do; what the answers mean is decided by the resources."""

from __future__ import annotations

from datetime import timedelta

from agents.errors import NotFoundError, RefusedError, TransientError
from agents.host.protocol import Host

#: systemd's own limit for a start is 90 s by default; hooks of users are oneshots that may pull an image first.
START_DEADLINE = timedelta(minutes=5)
QUERY_DEADLINE = timedelta(seconds=20)

#: The one whose value tells that a oneshot ran since boot.
STARTED = "ExecMainStartTimestampMonotonic"
#: Whether a start was skipped because a Condition…= of the unit did not hold, and when that was looked at.
_CONDITION = ("ConditionResult", "ConditionTimestampMonotonic")
_PROPERTIES = (
    STARTED,
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "Type",
    "UnitFileState",
    "NeedDaemonReload",
    "TriggeredBy",
    *_CONDITION,
)


def show(host: Host, name: str) -> dict[str, str] | None:
    """Return systemd's properties of a unit; None on a host without commands or without systemd."""
    text = query(host, "show", f"--property={','.join(_PROPERTIES)}", name)
    if text is None:
        return None
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def query(host: Host, *arguments: str) -> str | None:
    """Return what systemctl answers; None where it cannot be asked, or does not know."""
    try:
        result = host.run(["systemctl", *arguments], timeout=QUERY_DEADLINE)
    except (RefusedError, NotFoundError):
        return None
    return result.stdout if result.ok else None


def systemctl(host: Host, *arguments: str) -> None:
    """Tell systemd to do something, and wait until it did; TransientError with what it said when it did not."""
    result = host.run(["systemctl", *arguments], timeout=START_DEADLINE)
    if not result.ok:
        said = " ".join((result.stderr or result.stdout).split())[-2000:]
        raise TransientError(
            f"`systemctl {' '.join(arguments)}` exited with {result.exit_code}: {said}",
            hint=f"journalctl -u {arguments[-1]} -n 50" if len(arguments) > 1 else "",
        )


def last_words(host: Host, name: str, lines: int = 5) -> tuple[str, ...]:
    """Return the last lines of a unit's journal since its last start; none where there is no journal to ask."""
    argv = ["journalctl", "--unit", name, "--lines", str(lines), "--no-pager", "--output", "cat", "--quiet"]
    try:
        result = host.run(argv, timeout=QUERY_DEADLINE)
    except (RefusedError, NotFoundError):
        return ()
    return tuple(line.strip()[:300] for line in result.stdout.splitlines() if line.strip())[-lines:] if result.ok else ()
