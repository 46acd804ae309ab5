"""What the verbs `status` and `volumes` show; it reads and changes nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta

from agents.clock import SystemClock
from agents.durations import format_age
from agents.errors import AgentError, NotFoundError
from agents.host.local import LocalHost
from agents.status import Status, read_status, status_path
from agents.timestamps import format_timestamp
from protokube.loop import STATUS_INTERVAL
from protokube.spec import ProtokubeConfig, WantedVolume
from protokube.telling import AGENT
from protokube.volumes.memory import Memory
from protokube.volumes.observe import look
from protokube.volumes.phase import Refuse, Wait, next_step, phase_of
from protokube.volumes.view import Blank, Content, Filesystem, Unfinished, Unknown, VolumeView

COLUMNS = ("ETCD", "MEMBER", "FIND", "DEVICE", "SIZE", "CONTENT", "MOUNTED AT", "USED", "PHASE", "NEXT")


def show_status() -> tuple[dict[str, object], str, bool]:
    """Return the status as a document, as text, and whether all is well; NotFoundError where protokube never ran."""
    path = status_path(AGENT)
    try:
        status = read_status(LocalHost(), path)
    except NotFoundError as error:
        raise NotFoundError(
            f"there is no {path}: protokube has not run since this machine booted", hint="systemctl status protokube"
        ) from error
    now = SystemClock().now()
    stale = is_stale(status, now)
    document: dict[str, object] = {
        "state": "stale" if stale else status.state,
        "message": status.message,
        "updated": format_timestamp(status.updated) if status.updated else None,
        "waiting": [
            {
                "reason": one.reason,
                "since": format_timestamp(one.since),
                "until": format_timestamp(one.until) if one.until else None,
                "hint": one.hint,
                "lastError": one.last_error,
            }
            for one in status.waiting
        ],
        **status.details,
    }
    return document, _text(status, now, stale=stale), status.state == "running" and not stale


def is_stale(status: Status, now: datetime) -> bool:
    """Return whether the status is so old that protokube cannot be alive."""
    return status.updated is None or now - status.updated > 4 * STATUS_INTERVAL


def volume_rows(config: ProtokubeConfig) -> list[tuple[object, ...]]:
    """Return a row for each configured volume: what is wanted, and what the kernel shows."""
    return [_row(wanted) for wanted in config.volumes]


def _text(status: Status, now: datetime, *, stale: bool) -> str:
    age = f"{format_age(now - status.updated)} ago" if status.updated else "at an unknown time"
    lines = [f"protokube is {status.state}: {status.message} (written {age})"]
    if stale:
        lines.append("! this is old: protokube does not run; systemctl status protokube")
    for one in status.waiting:
        left = f", {_left(one.until - now)}" if one.until else ""
        lines.append(f"! waiting for {one.reason}, since {format_age(now - one.since)}{left}")
        lines.extend(f"    {text}" for text in (one.last_error, one.hint) if text)
    return "\n".join(lines)


def _left(remaining: timedelta) -> str:
    if remaining < timedelta():
        return f"overdue for {format_age(-remaining)}"
    return f"{format_age(remaining)} left"


def glance(wanted: WantedVolume) -> VolumeView:
    """Return a view of a volume as someone sees it who only looks: whether it was checked or grown is the daemon's to know."""
    now = SystemClock().now()
    view, _ = look(LocalHost(), wanted, Memory(since=now), now)
    return replace(view, grown=True)


def _row(wanted: WantedVolume) -> tuple[object, ...]:
    try:
        view = glance(wanted)
    except AgentError as error:
        return (wanted.etcd_cluster, wanted.member_name, str(wanted.find), None, None, None, None, None, "error", str(error))
    step = next_step(view)
    match step:
        case Wait(reason=reason) | Refuse(reason=reason):
            following = f"{type(step).__name__.lower()}: {reason}"
        case _:
            following = type(step).__name__.lower()
    used = _used(view.place) if view.is_in_place else None
    device = view.device
    return (
        wanted.etcd_cluster,
        view.wanted.member_name or None,
        str(wanted.find),
        device.path if device else ", ".join(view.directories) or None,
        _size(device.size_bytes) if device else None,
        _content(view.content),
        view.place if view.is_in_place else None,
        used,
        phase_of(view).value,
        following,
    )


def _used(place: str) -> str:
    figures = os.statvfs(place)
    return f"{100 - 100 * figures.f_bavail // max(1, figures.f_blocks)}%"


def _size(count: int) -> str:
    for unit, size in (("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20)):
        if count >= size:
            return f"{count / size:.4g}{unit}"
    return f"{count >> 10}K"


def _content(content: Content | None) -> str | None:
    match content:
        case Blank():
            return "blank"
        case Unfinished():
            return "half formatted"
        case Filesystem(kind=kind):
            return kind
        case Unknown(description=description):
            return description
        case None:
            return None
