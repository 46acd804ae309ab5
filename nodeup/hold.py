"""The hold: a file that says that nobody wants this machine converged for now; `rollback --hold` writes it, `--lift-hold` removes it."""

from __future__ import annotations

from datetime import datetime

from agents.errors import NotFoundError, RefusedError
from agents.host.protocol import Host
from agents.timestamps import format_timestamp

HOLD = "/etc/node-agents/nodeup-hold"


def hold(host: Host, *, reason: str, now: datetime) -> None:
    """Keep every later apply, that of the next boot, too, from changing this machine."""
    host.write(HOLD, f"{reason}, {format_timestamp(now)}\n".encode(), mode=0o644)


def lift_hold(host: Host) -> None:
    """Let apply converge this machine again; nothing happens where it may already."""
    host.remove(HOLD)


def refuse_if_held(host: Host) -> None:
    """Do nothing, or raise RefusedError with what the hold's file says."""
    try:
        said = " ".join(host.read(HOLD).decode(errors="replace").split())[:300]
    except NotFoundError:
        return
    raise RefusedError(
        f"{HOLD} holds this machine as it is{f' ({said})' if said else ''}; nothing was changed",
        code="held",
        hint="`nodeup apply --lift-hold` removes it and converges the machine to its specification",
    )
