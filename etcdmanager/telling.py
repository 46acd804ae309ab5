"""Telling what a manager knows: its status file, systemd's one line, /healthz /readyz /status /metrics on loopback.

The leader also leaves its status in the control store, where Go ignores it, for `etcd-manager status` from anywhere.

The picture is swapped whole once a second; whatever tells, tells from the last one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agents.clock import Clock
from agents.documents import dump_json
from agents.errors import AgentError
from agents.host.protocol import Host
from agents.metrics import Answer, Endpoint, Metrics
from agents.status import Status, write_status
from agents.stores.protocol import Store
from etcdmanager.control.store import CONTROL, ControlStore
from etcdmanager.deltas.keeper import DeltaKeeper
from etcdmanager.leader.loop import LeaderLoop
from etcdmanager.leadership.lock import LeaderLock
from etcdmanager.member.handlers import MemberHandlers
from etcdmanager.peering.gossip import Gossip
from etcdmanager.peering.messages import Description, LiveStatus
from etcdmanager.report import Picture, agent_name, document_of, is_ready, leader_report_of, status_of
from etcdmanager.safekeeping import Safekeeping
from etcdmanager.spec import ManagerConfig

log = logging.getLogger(__name__)

#: How often the status file is written at least; a reader takes an older one for a manager that is stuck.
WRITE_EVERY = timedelta(seconds=10)
#: How often the leader writes to the control store: at least, and at most where things change.
PUBLISH_EVERY = timedelta(seconds=60)
PUBLISH_GAP = timedelta(seconds=3)
STATUS_KEY = "_status.json"
#: How soon a change of what is done or waited for shows; looking at the news costs nothing.
LOOK_EVERY = timedelta(seconds=1)
#: How often our own member is described anew while nothing changes; that asks the disk and etcd.
DESCRIBE_EVERY = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The parts that are told of."""

    handlers: MemberHandlers
    gossip: Gossip
    lock: LeaderLock
    leader: LeaderLoop
    deltas: DeltaKeeper
    safekeeping: Safekeeping
    #: The backup store.
    store: Store


class Teller:
    """Makes pictures and tells them. `show` puts a line where people look for one (systemctl status)."""

    def __init__(self, config: ManagerConfig, host: Host, clock: Clock, sources: Sources, *, show: Callable[[str], None]) -> None:
        self._config = config
        self._host = host
        self._clock = clock
        self._sources = sources
        self._show = show
        self._picture: Picture | None = None

    async def run(self) -> None:
        """Keep the picture, the file and the line up to date, until cancelled."""
        written = described = published = datetime.min.replace(tzinfo=UTC)
        shown = told = ""
        member: Description | None = None
        while True:
            now = self._clock.now()
            if member is None or now - described >= DESCRIBE_EVERY or self._has_news():
                member, described = await self._describe(), now
            picture = self._picture = self._look(member)
            status = status_of(picture)
            summary = f"{status.state} {status.message} {[w.reason for w in status.waiting]}"
            if summary != shown or picture.now - written >= WRITE_EVERY:
                await asyncio.to_thread(self._write, status)
                self._show(f"{status.state}: {status.message}")
                shown, written = summary, picture.now
            news = summary + _members(picture)
            due = PUBLISH_GAP if news != told else PUBLISH_EVERY
            if self._sources.lock.lease is not None and picture.now - published >= due:
                await asyncio.to_thread(self._publish, picture, status)
                told, published = news, picture.now
            await asyncio.sleep(LOOK_EVERY.total_seconds())

    @contextlib.contextmanager
    def http(self) -> Iterator[None]:
        """Serve HTTP on loopback while the context lasts, if a port was given."""
        port = self._config.etcd_manager_metrics_port
        if not port:
            yield
            return
        metrics = Metrics()
        self._define(metrics)
        handlers: dict[str, Callable[[], Answer]] = {
            "/healthz": Answer,
            "/readyz": self._readyz,
            "/status": self._status,
            "/metrics": metrics.exposition,
        }
        with Endpoint(handlers, port=port):
            yield

    def _has_news(self) -> bool:
        """Return whether the leader decided otherwise than in the last picture; then our member may have changed too."""
        before = self._picture.news.decision if self._picture is not None else None
        decision = self._sources.leader.news.decision
        return (decision.action if decision else None) != (before.action if before else None)

    def _look(self, member: Description | None) -> Picture:
        lock, leader = self._sources.lock, self._sources.leader
        return Picture(
            agent=agent_name(self._config.cluster_name),
            now=self._clock.now(),
            member=member,
            sights=self._sources.gossip.sights(),
            lock=lock.seen,
            leads=lock.lease is not None or (leader.news.leading and lock.orphaned is not None),
            news=leader.news,
            deltas=self._sources.deltas.news,
            copies=self._sources.safekeeping.copies,
            spool=self._sources.safekeeping.spool,
            backup_interval=self._config.backup_interval,
        )

    async def _describe(self) -> Description | None:
        try:
            return await self._sources.handlers.describe()
        except AgentError as error:
            log.debug("our own member cannot be described: %s", error)
            return None

    def _write(self, status: Status) -> None:
        try:
            write_status(self._host, status, self._config.status_file or None)
        except AgentError as error:
            log.warning("the status file is not written: %s", error)

    def _publish(self, picture: Picture, status: Status) -> None:
        report = leader_report_of(picture)
        try:
            self._sources.store.child(CONTROL).write(STATUS_KEY, dump_json(document_of(status)).encode())
            if report is not None:
                ControlStore(self._sources.store).write_leader_report(report)
        except AgentError as error:
            log.debug("the status is not left in the control store: %s", error)

    def _readyz(self) -> Answer:
        picture = self._picture
        if picture is not None and is_ready(picture):
            return Answer()
        return Answer(status=503, content=b"this member does not serve\n")

    def _status(self) -> Answer:
        if self._picture is None:
            return Answer(status=503, content=b"starting\n")
        document = document_of(status_of(self._picture))
        return Answer(content=dump_json(document).encode(), content_type="application/json")

    def _define(self, metrics: Metrics) -> None:
        """Define gauges that are read from the picture when they are scraped."""
        gauges: dict[str, tuple[str, Callable[[Picture], float]]] = {
            "etcd_manager_is_leader": ("whether this manager leads", lambda p: float(p.leads)),
            "etcd_manager_leadership_epoch": ("epoch of the lock as last seen", lambda p: float(p.lock.epoch) if p.lock else 0.0),
            "etcd_manager_peers_known": ("other managers that are known", lambda p: float(len(p.sights))),
            "etcd_manager_peers_healthy": ("other managers in contact lately", lambda p: float(sum(s.healthy for s in p.sights))),
            "etcd_manager_member_ready": ("whether our member serves clients", lambda p: float(is_ready(p))),
            "etcd_manager_last_delta_revision": (
                "up to which revision deltas are in the store",
                lambda p: float(p.deltas.written_revision),
            ),
            "etcd_manager_recovery_point_timestamp_seconds": ("changes until then can be restored, 0 unknown", _recovery_point),
            "etcd_manager_db_size_bytes": ("size of our member's database", lambda p: float(_etcd(p).db_size_bytes)),
            "etcd_manager_db_in_use_bytes": ("what of it holds something", lambda p: float(_etcd(p).db_in_use_bytes)),
            "etcd_manager_db_quota_bytes": ("size at which etcd refuses writes", lambda p: float(_etcd(p).quota_bytes)),
            "etcd_manager_disk_free_bytes": (
                "free on the file system with our data",
                lambda p: float(p.member.disk.free_bytes if p.member is not None else 0),
            ),
            "etcd_manager_alarms": ("alarms that etcd raises, as the leader sees them", _alarms),
            "etcd_manager_members_differ": ("whether members hold different keys, as the leader compared them last", _differ),
            "etcd_manager_copied_backup_timestamp_seconds": ("when the second store's newest backup was taken, 0 unknown", _copied_at),
            "etcd_manager_spooled_backups": ("backups that wait on this machine for the store", lambda p: float(len(p.spool.spooled))),
            "etcd_manager_copies_missing": ("backups that the second store lacks", _copies_missing),
            "etcd_manager_last_backup_timestamp_seconds": ("when the newest backup was taken, 0 unknown", _last_backup),
        }
        for name, (text, read) in gauges.items():
            metrics.gauge(name, text).set_function(self._reader(read))

    def _reader(self, read: Callable[[Picture], float]) -> Callable[[], float]:
        return lambda: read(self._picture) if self._picture is not None else 0.0


def _recovery_point(picture: Picture) -> float:
    current = picture.deltas.current_at
    return current.timestamp() if current is not None and picture.deltas.collecting else _last_backup(picture)


def _copied_at(picture: Picture) -> float:
    last = picture.copies.last
    return last.newest_at.timestamp() if last is not None and last.newest_at is not None else 0.0


def _copies_missing(picture: Picture) -> float:
    return float(picture.copies.last.missing_backups) if picture.copies.last is not None else 0.0


def _members(picture: Picture) -> str:
    """Return who serves with which version: commands that follow a change wait for it."""
    view = picture.news.view
    return " ".join(f"{p.id}={p.serves}/{p.etcd.version if p.etcd is not None else ''}" for p in view.peers) if view is not None else ""


_NO_ETCD = LiveStatus(member_id=0, cluster_id=0, leader_id=0, raft_index=0, raft_applied_index=0, raft_term=0, revision=0, db_size_bytes=0)


def _etcd(picture: Picture) -> LiveStatus:
    status = picture.member.etcd if picture.member is not None else None
    return status if status is not None else _NO_ETCD


def _alarms(picture: Picture) -> float:
    view = picture.news.view
    return float(len(view.alarms)) if view is not None else 0.0


def _differ(picture: Picture) -> float:
    found = picture.news.view.upkeep.hashes if picture.news.view is not None else None
    return float(found is not None and bool(found.odd))


def _last_backup(picture: Picture) -> float:
    view = picture.news.view
    newest = view.backed_up_at if view is not None else None
    return newest.timestamp() if newest is not None else 0.0
