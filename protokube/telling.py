"""What protokube tells about itself: turns of volumes into the status document. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from agents.errors import InvariantError
from agents.status import Status, Waiting
from agents.timestamps import format_timestamp
from protokube.certificates import WARN_BEFORE, Expiry
from protokube.volumes.keeper import Turn
from protokube.volumes.phase import Phase, Refuse, Rest, Wait

AGENT = "protokube"


def describe(
    turns: Sequence[Turn], *, now: datetime, certificates: Sequence[Expiry] = (), troubles: Sequence[str] = (), stopping: bool = False
) -> Status:
    """Return the status: "running" when all is well, "waiting" within deadlines, "degraded" when someone should act.

    `troubles` are sentences about work besides the volumes.
    """
    waiting = tuple(one for turn in turns if (one := _waiting(turn)) is not None)
    degraded = bool(troubles) or any(needs_an_operator(turn, now) for turn in turns)
    state = "stopping" if stopping else "degraded" if degraded else "waiting" if waiting else "running"
    published = sum(turn.phase is Phase.PUBLISHED for turn in turns)
    first = waiting[0].reason if waiting else ""
    return Status(
        agent=AGENT,
        state=state,
        message="; ".join((f"{published} of {len(turns)} volumes published", *([f"waiting for {first}"] if first else []), *troubles)),
        waiting=waiting,
        details={
            "volumes": [_volume(turn) for turn in turns],
            "certificates": [
                {"path": one.path, "notAfter": format_timestamp(one.not_after), "expiresSoon": one.not_after - now < WARN_BEFORE}
                for one in certificates
            ],
        },
        updated=now,
    )


def needs_an_operator(turn: Turn, now: datetime) -> bool:
    """Return whether waiting alone will not do, or has been going on for too long."""
    overdue = isinstance(turn.step, Wait) and now > turn.step.until
    return bool(turn.error) or overdue or isinstance(turn.step, Refuse)


def _waiting(turn: Turn) -> Waiting | None:
    name = turn.wanted.etcd_cluster
    match turn.step:
        case Wait(reason=reason, until=until, hint=hint):
            return Waiting(reason=reason, since=turn.since, until=until, hint=hint, last_error=turn.error)
        case Refuse(code=code, reason=reason, hint=hint):
            return Waiting(reason=f"an operator: volume {name}: {reason} (rule {code})", since=turn.since, hint=hint, last_error=turn.error)
        case Rest():
            if not turn.error:
                return None
            return Waiting(reason=f"another look at volume {name}", since=turn.since, hint=turn.hint, last_error=turn.error)
        case step:
            doing = f"volume {name}: {type(step).__name__.lower()}"
            return Waiting(reason=doing, since=turn.since, hint=turn.hint, last_error=turn.error)
    raise InvariantError(f"a turn without a step: {turn}")


def _volume(turn: Turn) -> dict[str, object]:
    view = turn.view
    return {
        "etcdCluster": turn.wanted.etcd_cluster,
        "member": turn.wanted.member_name,
        "find": str(turn.wanted.find),
        "phase": turn.phase.value,
        "since": format_timestamp(turn.since),
        "device": view.device.path if view is not None and view.device is not None else "",
        "mountPoint": view.place if view is not None else "",
        "error": turn.error,
    }
