"""Carrying out a reset: look, do the first step that is left, look again; what is still there after its step is told and passed over."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from agents.errors import AgentError, RefusedError, TransientError
from agents.host.protocol import FileKind, Host
from nodeup.reset.looking import MARKER
from nodeup.reset.steps import Remove, ResetView, RestoreRules, Step, Unmount, steps, touches

log = logging.getLogger(__name__)

#: Stopping containerd or etcd may take its TimeoutStopSec of 90 s.
_DEADLINE = timedelta(minutes=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a step."""

    step: Step
    #: "" where it worked.
    error: str


def reset(host: Host, look: Callable[[], ResetView], *, keep_images: bool, tell: Callable[[Outcome], None]) -> tuple[Outcome, ...]:
    """Do everything that is left to do; each step at most once, so that it ends."""
    outcomes: list[Outcome] = []
    tried: set[Step] = set()
    view = look()
    while left := [step for step in steps(view, keep_images=keep_images) if step not in tried]:
        step = left[0]
        tried.add(step)
        error = _attempt(host, step, view)
        # What says where etcd's data is may itself be gone by now: once protected, always protected.
        view = _protecting(look(), view.protected)
        if not error and step in steps(view, keep_images=keep_images):
            error = "it was done and is still there"
        outcomes.append(Outcome(step=step, error=error))
        tell(outcomes[-1])
    if any(isinstance(outcome.step, Remove) for outcome in outcomes):
        _forget_units(host)
    return tuple(outcomes)


def _forget_units(host: Host) -> None:
    """Tell systemd that unit files are gone; where that fails, a reboot does it."""
    try:
        _run(host, ("systemctl", "daemon-reload"))
    except AgentError as error:
        log.warning("systemd was not told that units are gone: %s", error)


def _protecting(view: ResetView, protected: Sequence[str]) -> ResetView:
    return replace(view, protected=tuple(dict.fromkeys((*protected, *view.protected))))


def _attempt(host: Host, step: Step, view: ResetView) -> str:
    try:
        _act(host, step, view)
    except AgentError as error:
        log.debug("%s", step, exc_info=True)
        return str(error)
    return ""


def _act(host: Host, step: Step, view: ResetView) -> None:
    match step:
        case Remove(path):
            remove_tree(host, path, view.protected, view.mount_points)
            return
        case Unmount(path):
            _refuse_protected(path, view.protected)
        case _:
            pass
    _run(host, step.command, stdin=step.rules.encode() if isinstance(step, RestoreRules) else None)


def remove_tree(host: Host, path: str, protected: Sequence[str], mount_points: Sequence[str]) -> None:
    """Remove what is at a path and below; RefusedError, before anything is, where an etcd volume or another mount is in it.

    A path that is a mount point itself is emptied.
    """
    _refuse_protected(path, protected)
    stat = host.stat(path)
    if stat is None:
        return
    for mounted in mount_points:
        # By the table, not only by the device: a bind mount is the operator's directory on the same disk.
        if mounted.startswith(f"{path}/"):
            raise RefusedError(f"{mounted} is mounted below {path}, and nothing is removed through a mount", hint=f"umount {mounted}")
    _check_below(host, path, stat.device, protected)
    if path in mount_points:
        for name in host.list(path):
            _remove_below(host, f"{path}/{name}")
    else:
        _remove_below(host, path)


def _check_below(host: Host, path: str, device: tuple[int, int], protected: Sequence[str]) -> None:
    stat = host.stat(path)
    if stat is None or stat.kind is not FileKind.DIRECTORY:
        return
    if stat.device != device:
        raise RefusedError(f"{path} is another file system, and only what is on its own is removed", hint=f"umount {path}, if it may go")
    names = host.list(path)
    if MARKER in names:
        raise RefusedError(f"{path} is an etcd volume ({MARKER}): it is never removed")
    for name in names:
        _refuse_protected(f"{path}/{name}", [volume for volume in protected if volume == f"{path}/{name}"])
        _check_below(host, f"{path}/{name}", device, protected)


def _remove_below(host: Host, path: str) -> None:
    stat = host.stat(path)
    if stat is not None and stat.kind is FileKind.DIRECTORY:
        for name in host.list(path):
            _remove_below(host, f"{path}/{name}")
    host.remove(path)


def _refuse_protected(path: str, protected: Sequence[str]) -> None:
    for volume in protected:
        if touches(path, volume):
            raise RefusedError(f"{path} is, holds, or lies in {volume}, where etcd's data or backups are: it is never touched")


def _run(host: Host, argv: Sequence[str], *, stdin: bytes | None = None) -> None:
    result = host.run(argv, timeout=_DEADLINE, stdin=stdin)
    if not result.ok:
        said = " ".join((result.stderr or result.stdout).split())[:300]
        raise TransientError(f"`{' '.join(argv)}` exited with {result.exit_code}: {said}")
