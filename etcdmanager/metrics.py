"""What a manager tells monitoring: gauges read from the last picture when they are scraped, counters and times of what a leader does.

Names are stable; docs/etcd-manager.md lists them, and a test compares. etcd's own metrics are etcd's (`--listen-metrics-urls`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta

from agents.errors import AgentError
from agents.metrics import Metrics
from etcdmanager.leader import actions as a
from etcdmanager.leader.paused import pause_in
from etcdmanager.leader.view import ClusterView, Running, phase_of
from etcdmanager.peering.messages import LiveStatus
from etcdmanager.report import Picture, is_ready

Read = Callable[[Picture], float]

#: From an RPC to the rewriting of a database of 8 GiB, in seconds.
_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_NO_ETCD = LiveStatus(member_id=0, cluster_id=0, leader_id=0, raft_index=0, raft_applied_index=0, raft_term=0, revision=0, db_size_bytes=0)


def _etcd(picture: Picture) -> LiveStatus:
    status = picture.member.etcd if picture.member is not None else None
    return status if status is not None else _NO_ETCD


def _view(picture: Picture) -> ClusterView | None:
    """Return what the leader sees; None where this manager does not lead."""
    return picture.news.view if picture.leads else None


def _of_view(read: Callable[[ClusterView], float]) -> Read:
    """Return a gauge that only the leader's manager knows; 0 on the others."""

    def value(picture: Picture) -> float:
        view = _view(picture)
        return read(view) if view is not None else 0.0

    return value


def _of_running(read: Callable[[Running], float]) -> Read:
    def value(view: ClusterView) -> float:
        phase = phase_of(view)
        return read(phase) if isinstance(phase, Running) else 0.0

    return _of_view(value)


def _last_backup(view: ClusterView) -> float:
    newest = view.backed_up_at
    return newest.timestamp() if newest is not None else 0.0


def _verified_backup(view: ClusterView) -> float:
    return view.upkeep.verified_backup_at.timestamp() if view.upkeep.verified_backup_at is not None else 0.0


def _recovery_point(picture: Picture) -> float:
    current = picture.deltas.current_at
    view = picture.news.view
    if current is not None and picture.deltas.collecting:
        return current.timestamp()
    return _last_backup(view) if view is not None else 0.0


def _is_quarantined(picture: Picture) -> float:
    state = picture.member.info.state if picture.member is not None else None
    return float(state is not None and state.quarantined)


def _share_of_quota(picture: Picture) -> float:
    etcd = _etcd(picture)
    return etcd.db_size_bytes / etcd.quota_bytes if etcd.quota_bytes else 0.0


def _copied_at(picture: Picture) -> float:
    last = picture.copies.last
    return last.newest_at.timestamp() if last is not None and last.newest_at is not None else 0.0


def _copies_missing(picture: Picture) -> float:
    return float(picture.copies.last.missing_backups) if picture.copies.last is not None else 0.0


#: Of this manager and its member, and of the cluster where this manager leads it (0 elsewhere: alert on the maximum over all).
GAUGES: dict[str, tuple[str, Read]] = {
    "etcd_manager_is_leader": ("whether this manager leads", lambda p: float(p.leads)),
    "etcd_manager_leadership_epoch": ("epoch of the lock as last seen", lambda p: float(p.lock.epoch) if p.lock else 0.0),
    "etcd_manager_peers_known": ("other managers that are known", lambda p: float(len(p.sights))),
    "etcd_manager_peers_healthy": ("other managers in contact lately", lambda p: float(sum(s.healthy for s in p.sights))),
    "etcd_manager_member_ready": ("whether our member serves clients", lambda p: float(is_ready(p))),
    "etcd_manager_member_has_raft_leader": ("whether our etcd follows a raft leader", lambda p: float(_etcd(p).leader_id != 0)),
    "etcd_manager_member_quarantined": ("whether clients are kept out of our member", _is_quarantined),
    "etcd_manager_member_held": (
        "whether our member runs nothing because it cannot explain its disk",
        lambda p: float(p.member is not None and p.member.hold is not None),
    ),
    "etcd_manager_etcd_restarts": (
        "how often in a row our etcd ended by itself",
        lambda p: float(p.member.process.failures if p.member is not None else 0),
    ),
    "etcd_manager_db_size_bytes": ("size of our member's database", lambda p: float(_etcd(p).db_size_bytes)),
    "etcd_manager_db_in_use_bytes": ("what of it holds something", lambda p: float(_etcd(p).db_in_use_bytes)),
    "etcd_manager_db_quota_bytes": ("size at which etcd refuses writes", lambda p: float(_etcd(p).quota_bytes)),
    "etcd_manager_db_quota_ratio": ("the database's share of its quota", _share_of_quota),
    "etcd_manager_disk_free_bytes": (
        "free on the file system with our data",
        lambda p: float(p.member.disk.free_bytes if p.member is not None else 0),
    ),
    "etcd_manager_trash_directories": (
        "replaced data directories that are kept",
        lambda p: float(len(p.member.disk.trash) if p.member is not None else 0),
    ),
    "etcd_manager_last_delta_revision": ("up to which revision deltas are in the store", lambda p: float(p.deltas.written_revision)),
    "etcd_manager_recovery_point_timestamp_seconds": ("changes until then can be restored, 0 unknown", _recovery_point),
    "etcd_manager_members": ("entries of etcd's list, as the leader sees them", _of_view(lambda v: float(len(v.members or ())))),
    "etcd_manager_members_wanted": ("members that the spec asks for", _of_view(lambda v: float(v.spec.member_count if v.spec else 0))),
    "etcd_manager_members_healthy": ("voters that serve", _of_running(lambda r: float(len(r.healthy)))),
    "etcd_manager_members_learners": ("learners", _of_view(lambda v: float(sum(m.is_learner for m in v.members or ())))),
    "etcd_manager_members_unstarted": (
        "members that never started",
        _of_view(lambda v: float(sum(not m.started for m in v.members or ()))),
    ),
    "etcd_manager_has_quorum": ("whether the cluster takes writes", _of_running(lambda r: float(r.etcd_has_quorum))),
    "etcd_manager_alarms": ("alarms that etcd raises", _of_view(lambda v: float(len(v.alarms)))),
    "etcd_manager_members_differ": (
        "whether members hold different keys, as compared last",
        _of_view(lambda v: float(v.upkeep.hashes is not None and bool(v.upkeep.hashes.odd))),
    ),
    "etcd_manager_backups": ("backups in the store", _of_view(lambda v: float(len(v.backups)))),
    "etcd_manager_last_backup_timestamp_seconds": ("when the newest backup was taken, 0 unknown", _of_view(_last_backup)),
    "etcd_manager_last_verified_backup_timestamp_seconds": (
        "when the newest backup that this leader knows to be proven was taken, 0 unknown",
        _of_view(_verified_backup),
    ),
    "etcd_manager_copied_backup_timestamp_seconds": ("when the second store's newest backup was taken, 0 unknown", _copied_at),
    "etcd_manager_copies_missing": ("backups that the second store lacks", _copies_missing),
    "etcd_manager_spooled_backups": ("backups that wait on this machine for the store", lambda p: float(len(p.spool.spooled))),
    "etcd_manager_last_drill_timestamp_seconds": (
        "when a backup was last restored as an exercise, 0 unknown",
        lambda p: p.drill.at.timestamp() if p.drill is not None else 0.0,
    ),
    "etcd_manager_last_drill_ok": ("whether that went well", lambda p: float(p.drill is not None and not p.drill.problem)),
    "etcd_manager_store_up": (
        "whether the leader reaches the backup store",
        lambda p: float(p.leads and not p.news.error and (p.news.view is None or not p.news.view.store_away)),
    ),
    "etcd_manager_paused": ("whether an operator paused the leader", _of_view(lambda v: float(pause_in(v) is not None))),
    "etcd_manager_waits": (
        "things that the leader waits for; status names them",
        lambda p: float(len(p.news.decision.remarks) + isinstance(p.news.decision.action, a.Wait)) if p.leads and p.news.decision else 0.0,
    ),
    "etcd_manager_loop_last_success_timestamp_seconds": (
        "when the leader last came to a decision",
        lambda p: p.news.view.now.timestamp() if p.leads and p.news.view is not None and not p.news.error else 0.0,
    ),
}

#: (name, what it counts, labels). The exposition adds `_total`.
COUNTERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("etcd_manager_elections", "how often this manager took the leadership", ()),
    ("etcd_manager_actions", "what this leader carried out, by kind", ("action",)),
    ("etcd_manager_action_errors", "what failed, by rule and the error's code", ("rule", "code")),
    ("etcd_manager_loop_errors", "rounds in which the cluster could not be looked at, by the error's code", ("code",)),
    ("etcd_manager_backups_taken", "backups, by why: schedule, request, pre-upgrade, …", ("kind",)),
    ("etcd_manager_backups_failed", "attempts that failed, by the error's code", ("code",)),
    ("etcd_manager_retention_deleted", "backups that retention deleted", ()),
    ("etcd_manager_restores", "restores, by result: done, given-up, rejected", ("result",)),
    ("etcd_manager_member_operations", "changes of etcd's list of members, by kind", ("operation",)),
)
HISTOGRAM = ("etcd_manager_action_seconds", "how long what this leader carried out took, by kind", ("action",))
CERTIFICATES = ("etcd_manager_certificate_expiry_timestamp_seconds", "when a certificate of ours ends", ("path", "role"))
VERSIONS = ("etcd_manager_version_info", "the versions that the spec asks for and that our etcd runs; always 1", ("wanted", "running"))

_BACKUP_RULES = frozenset({"periodic_backup", "backup_on_request", "backup_of_member"})
_OPERATIONS: dict[type[object], str] = {
    a.AddLearner: "add",
    a.JoinLearner: "join",
    a.PromoteLearner: "promote",
    a.RemoveMember: "remove",
    a.StopRemoved: "stop",
}
_RESTORES: dict[type[object], str] = {a.FinishRestore: "done", a.AbortRestore: "given-up", a.RejectCommand: "rejected"}


def define_gauges(metrics: Metrics, picture: Callable[[], Picture | None]) -> None:
    """Define the gauges; they read `picture` when they are scraped, and are 0 before there is one."""

    def reader(read: Read) -> Callable[[], float]:
        def value() -> float:
            found = picture()
            return read(found) if found is not None else 0.0

        return value

    for name, (text, read) in GAUGES.items():
        metrics.gauge(name, text).set_function(reader(read))


def names() -> Iterator[str]:
    """Yield every name as the exposition has it."""
    yield from GAUGES
    yield from (f"{name}_total" for name, _, _ in COUNTERS)
    yield from (HISTOGRAM[0], CERTIFICATES[0], VERSIONS[0])


class LeaderMetrics:
    """A witness that counts what the leader does."""

    def __init__(self, metrics: Metrics) -> None:
        self._counters = {name: metrics.counter(name, text, labels) for name, text, labels in COUNTERS}
        self._seconds = metrics.histogram(*HISTOGRAM, buckets=_BUCKETS)

    def leads(self, epoch: int) -> None:
        """Count an election."""
        del epoch
        self._counters["etcd_manager_elections"].inc()

    def leads_no_longer(self, epoch: int) -> None:
        """Count nothing: the gauge says it."""

    def done(self, rule: str, action: a.Action, view: ClusterView, took: timedelta) -> None:
        """Count an action that was carried out."""
        del rule, view
        kind = _kebab(type(action).__name__)
        self._counters["etcd_manager_actions"].labels(kind).inc()
        self._seconds.labels(kind).observe(took.total_seconds())
        if isinstance(action, a.TakeBackup):
            self._counters["etcd_manager_backups_taken"].labels("request" if action.requests else action.why).inc()
        elif isinstance(action, a.DeleteBackups):
            self._counters["etcd_manager_retention_deleted"].inc(len(action.names))
        elif (operation := _OPERATIONS.get(type(action))) is not None:
            self._counters["etcd_manager_member_operations"].labels(operation).inc()
        elif (result := _RESTORES.get(type(action))) is not None:
            self._counters["etcd_manager_restores"].labels(result).inc()

    def failed(self, rule: str, error: AgentError) -> None:
        """Count what failed."""
        if not rule:
            self._counters["etcd_manager_loop_errors"].labels(error.code).inc()
            return
        self._counters["etcd_manager_action_errors"].labels(rule, error.code).inc()
        if rule in _BACKUP_RULES:
            self._counters["etcd_manager_backups_failed"].labels(error.code).inc()


def _kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
