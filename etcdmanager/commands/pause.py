"""`etcd-manager pause` and `resume`: have the leading manager begin nothing by itself for a while.

It goes on taking backups, finishing what it began and opening closed doors; each manager goes on restarting its own etcd. A pause ends by
itself. `etcdmanager.leader.paused` has the whole list.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from agents.cli import common, common_options, emit
from agents.durations import format_age, parse_human_duration
from agents.errors import SpecError
from agents.exit_codes import ExitCode
from agents.timestamps import format_timestamp
from etcdmanager.commands.cluster_status import require_cluster
from etcdmanager.commands.target import Target, target_of, target_options, who
from etcdmanager.control.history import Event, History
from etcdmanager.control.pause import LONGEST, Pause, PauseFile
from etcdmanager.control.store import CONTROL


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of both."""
    parser.add_argument("etcd", nargs="?", default="main", metavar="ETCD", help="main (the default), events, cilium or leases")
    if parser.prog.endswith("pause"):
        parser.add_argument("--for", dest="duration", default="1h", metavar="DURATION", help="how long at most (default 1h; up to 7d)")
    parser.add_argument("--reason", default="", help="why; shown in status and kept in the history (INC-123)")
    target_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Begin a pause, or change how long the present one lasts."""
    duration = parse_human_duration(arguments.duration)
    if not duration.total_seconds() > 0 or duration > LONGEST:
        raise SpecError(f"wanted a pause of more than 0s and at most {LONGEST.days}d, found {arguments.duration}", code="usage")
    target = _target(arguments)
    now = datetime.now(UTC).replace(microsecond=0)
    pause = Pause(until=now + duration, by=who(), since=now, reason=arguments.reason)
    PauseFile(target.store.child(CONTROL)).write(pause)
    until = format_timestamp(pause.until)
    _note(target, "pause", f"nothing is begun by itself until {until}", pause.reason)
    text = f"{target.cluster} {target.etcd}: nothing is begun by itself until {until}; `etcd-manager resume {target.etcd}` ends it before"
    document = {"cluster": target.cluster, "etcd": target.etcd, "until": until, "by": pause.by, "reason": pause.reason}
    emit(common(arguments), "EtcdPause", document, text)
    return ExitCode.OK


def run_resume(arguments: argparse.Namespace) -> ExitCode:
    """End the pause, a damaged one too; without one nothing happens."""
    target = _target(arguments)
    file, now = PauseFile(target.store.child(CONTROL)), datetime.now(UTC)
    try:
        pause = file.read()
    except SpecError:
        pause = Pause(until=now, by="", since=now)
    file.end()
    left = pause.until - now if pause is not None and pause.holds(now) else None
    if pause is not None:
        _note(target, "resume", f"{format_age(left)} before its time" if left is not None else "", arguments.reason)
    text = f"{target.cluster} {target.etcd}: {'resumed' if pause is not None else 'there was no pause'}"
    emit(common(arguments), "EtcdPause", {"cluster": target.cluster, "etcd": target.etcd, "until": None, "was": pause is not None}, text)
    return ExitCode.OK


def _target(arguments: argparse.Namespace) -> Target:
    target = target_of(arguments, arguments.etcd)
    require_cluster(target.store)
    return target


def _note(target: Target, what: str, text: str, reason: str) -> None:
    History(target.store).note(Event(at=datetime.now(UTC), by=who(), what=what, text=text, reason=reason))
