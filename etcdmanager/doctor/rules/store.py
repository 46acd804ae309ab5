"""Rules about the backup store, the control store inside it, leadership, backups and exercises. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from agents.diagnosis import Found, Unknown, critical, warning
from agents.durations import format_age
from agents.timestamps import format_timestamp
from etcdmanager.backups.freshness import Level
from etcdmanager.commands.cluster_status import ClusterReport
from etcdmanager.doctor.view import DoctorView, Marker
from etcdmanager.told import told_cluster

#: An object store's times are whole seconds; below that nothing is known.
_CLOCKS_MAY_DIFFER = timedelta(seconds=2)
#: A restore of 8 GiB is ready within ten minutes, or given up.
_COMMAND_TAKES = timedelta(minutes=10)
#: The lock changes hands when machines are replaced; more often than that within an hour, somebody is cut off now and then.
_LEADERSHIPS = 4
#: A backup that was never restored is a hope.
_DRILL_EVERY = timedelta(days=30)


def unreachable(view: DoctorView) -> Iterator[Found]:
    """The store cannot even be listed."""
    control = view.store.control
    if isinstance(control, Unknown) and control.reason:
        yield critical(
            f"the backup store {view.store.url} cannot be read: no backups, no repair of members, no change of leadership",
            evidence=control.reason,
            fix="look at the network, at the machine's credentials (its role or /etc/node-agents), and at the URL",
        )


def forbidden(view: DoctorView) -> Iterator[Found]:
    """A permission is missing."""
    steps = () if isinstance(view.store.probe, Unknown) else view.store.probe
    failed = [step for step in steps if step.error]
    if failed and not isinstance(view.store.control, Unknown):
        names = ", ".join(step.name for step in failed)
        say = critical if view.on_node else warning
        whose = "this node" if view.on_node else "whoever runs this command"
        yield say(
            f"{whose} may not {names} in {view.store.url}",
            evidence="; ".join(f"{step.name}: {step.error}" for step in failed),
            fix="managers need to read, write, list and delete; a lock on objects must not cover control/",
        )


def clock(view: DoctorView) -> Iterator[Found]:
    """A clock is wrong: backups get wrong names, certificates wrong times."""
    for whose, ahead in (("this machine's clock", view.store.clock_ahead), ("the leading manager's clock", view.store.teller_ahead)):
        if not isinstance(ahead, Unknown) and abs(ahead) > _CLOCKS_MAY_DIFFER:
            seconds = ahead.total_seconds()
            yield warning(
                f"{whose} is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the store's",
                evidence="an object that was just written has another time",
                fix="timedatectl; chronyc tracking",
            )


def nobody_leads(view: DoctorView) -> Iterator[Found]:
    """Nobody holds the lock."""
    lock, report = view.store.lock, view.store.report
    if isinstance(lock, Unknown):
        if "_lock.json" in lock.reason:
            yield critical(
                "the leader's lock is damaged: nobody can lead",
                evidence=lock.reason,
                fix="stop all managers, delete control/_lock.json, start them",
            )
        return
    exists = not isinstance(report, Unknown) and (report.created or report.told_at is not None)
    if lock is not None and lock.holder and lock.expires_at > view.now - timedelta(seconds=30):
        return
    if lock is None and not exists:
        return
    held = "it was never taken" if lock is None else f"{lock.holder or 'nobody'} held it until {format_timestamp(lock.expires_at)}"
    yield critical(
        "no manager leads: etcd serves, but nobody backs up, repairs or restores",
        evidence=f"control/_lock.json: {held}",
        fix=f"systemctl status etcd-manager@{view.etcd} on each control-plane node; the Go etcd-manager keeps no lock",
    )


def silent_leader(view: DoctorView) -> Iterator[Found]:
    """Somebody holds the lock and tells nothing."""
    lock, report = view.store.lock, view.store.report
    if isinstance(lock, Unknown) or isinstance(report, Unknown) or lock is None or lock.expires_at < view.now:
        return
    if report.unreadable:
        yield warning("what the leading manager tells cannot be read", evidence=report.unreadable, fix="it writes it again within a minute")
    elif report.is_stale(view.now) and view.now - lock.acquired_at > timedelta(minutes=3):
        told = "never" if report.told_at is None else format_timestamp(report.told_at)
        yield critical(
            f"{lock.holder} leads and tells nothing: it is stuck",
            evidence=f"control/_status.json was written {told}",
            fix=f"journalctl -u etcd-manager@{view.etcd} on {lock.holder}; restarting it harms nothing, etcd goes on",
        )


def two_leaders(view: DoctorView) -> Iterator[Found]:
    """Two managers act as leaders."""
    lock, report = view.store.lock, _fresh(view)
    if isinstance(lock, Unknown) or lock is None or report is None or not lock.holder:
        return
    since = report.told_at or view.now
    if report.told_by and report.told_by != lock.holder and lock.acquired_at < since - timedelta(minutes=1):
        yield critical(
            f"{report.told_by} tells the status, but {lock.holder} holds the lock: two clusters may share this store",
            evidence=f"_status.json of {format_timestamp(since)}, _lock.json of epoch {lock.epoch}",
            fix="give each etcd cluster its own --backup-store; see `etcd-manager members`",
        )


def restless(view: DoctorView) -> Iterator[Found]:
    """Leadership changes all the time."""
    taken = view.store.leaderships
    if not isinstance(taken, Unknown) and len(taken) >= _LEADERSHIPS:
        yield warning(
            f"the leadership changed {len(taken)} times within an hour",
            evidence=f"last at {format_timestamp(max(taken))} (`etcd-manager history --since 1h`)",
            fix="a slow or failing store, or managers that do not reach each other: `journalctl -u etcd-manager@…`",
        )


def missing_files(view: DoctorView) -> Iterator[Found]:
    """The cluster lives, and what says so in the store is gone."""
    report = _fresh(view)
    lives = report is not None and told_cluster(report.cluster).has_quorum
    marker, spec = view.store.marker, view.store.spec
    if lives and not isinstance(marker, Unknown) and marker is not Marker.PRESENT:
        yield critical(
            f"control/etcd-cluster-created is {marker.value} while the cluster lives: a Go manager would form an empty cluster over it",
            evidence=f"{view.store.url}/control/etcd-cluster-created",
            fix="etcd-manager doctor --fix writes it from the living cluster; then find out who deletes in the store",
        )
    if lives and not isinstance(spec, Unknown) and spec is None:
        yield critical(
            "control/etcd-cluster-spec is missing while the cluster lives: members are neither added nor replaced",
            evidence=f"{view.store.url}/control/etcd-cluster-spec",
            fix="kops update cluster --yes, or etcd-manager doctor --fix, which writes what the living cluster is",
        )


def damaged_spec(view: DoctorView) -> Iterator[Found]:
    """The spec does not parse."""
    spec = view.store.spec
    if isinstance(spec, Unknown) and spec.reason and not isinstance(view.store.control, Unknown):
        yield critical("the cluster's spec cannot be read", evidence=spec.reason, fix="kops update cluster --yes, or configure-cluster")


def old_command(view: DoctorView) -> Iterator[Found]:
    """A restore stands in the queue for long."""
    control = view.store.control
    for queued in () if isinstance(control, Unknown) else control.open_commands:
        age = view.now - queued.command.queued_at
        if age > _COMMAND_TAKES:
            taken = f"claimed by {queued.claim.document.holder}" if queued.claim is not None else "nobody has taken it on"
            yield critical(
                f"a restore of {queued.command.backup} stands in the queue for {format_age(age)}",
                evidence=f"command {queued.command.name}: {taken}",
                fix="etcd-manager status says what it waits for; if nobody wants it any more: etcd-manager-ctl delete-command",
            )


def unanswered(view: DoctorView) -> Iterator[Found]:
    """An operator asked for something, and nobody answered."""
    control = view.store.control
    if isinstance(control, Unknown):
        return
    asked = [(request.requested_at, f"backup-now of {request.requested_by}") for request in control.requests]
    asked += [(one.requested_at, f"{one.verb.value} {one.member} of {one.requested_by}") for one in control.member_requests]
    for at, what in sorted(asked):
        if view.now - at > _COMMAND_TAKES:
            yield warning(
                f"nobody answered {what} for {format_age(view.now - at)}",
                evidence=f"asked at {format_timestamp(at)}",
                fix="etcd-manager status says what the leading manager waits for",
            )


def unreadable_objects(view: DoctorView) -> Iterator[Found]:
    """An object in the control store does not parse; it is isolated."""
    control = view.store.control
    for bad in () if isinstance(control, Unknown) else control.bad:
        yield warning(f"{bad.key} cannot be read, and is ignored", evidence=bad.reason, fix="write it again, or delete it")


def paused(view: DoctorView) -> Iterator[Found]:
    """An operator paused the leader."""
    control = view.store.control
    pause = None if isinstance(control, Unknown) else control.pause
    if pause is not None and pause.holds(view.now):
        yield warning(
            f"paused until {format_timestamp(pause.until)}: nothing is begun by itself",
            evidence=f"by {pause.by} at {format_timestamp(pause.since)}{f': {pause.reason}' if pause.reason else ''}",
            fix=f"etcd-manager resume {view.etcd}",
        )


def backups(view: DoctorView) -> Iterator[Found]:
    """There is no young verified backup."""
    verdict, report = view.store.backups, view.store.report
    if isinstance(verdict, Unknown) or verdict.level is Level.OK:
        return
    if not isinstance(report, Unknown) and not report.created and verdict.age is None:
        return
    say = critical if verdict.level is Level.CRITICAL else warning
    yield say(
        "the backups are not as they should be", evidence=verdict.message, fix="etcd-manager backup-now; status says what backups wait for"
    )


def drill(view: DoctorView) -> Iterator[Found]:
    """No backup was restored as an exercise for long, or the last exercise failed."""
    last, verdict = view.store.drill, view.store.backups
    if isinstance(last, Unknown):
        return
    if last is not None and last.problem:
        yield critical(
            f"the last drill failed with backup {last.backup}", evidence=last.problem, fix="etcd-manager drill; keep the backups"
        )
    elif last is None or view.now - last.at > _DRILL_EVERY:
        if isinstance(verdict, Unknown) or verdict.age is None:
            return
        said = "no drill was ever recorded" if last is None else f"the last was at {format_timestamp(last.at)}"
        yield warning(
            f"no backup was restored as an exercise in {_DRILL_EVERY.days} days",
            evidence=said,
            fix=f"etcd-manager drill {view.etcd}, or systemctl enable --now etcd-manager-drill@{view.etcd}.timer",
        )


def _fresh(view: DoctorView) -> ClusterReport | None:
    """Return what the leading manager told, where it is young enough to be believed."""
    report = view.store.report
    return None if isinstance(report, Unknown) or report.is_stale(view.now) else report
