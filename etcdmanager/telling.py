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
from typing import TYPE_CHECKING

from agents.clock import Clock
from agents.documents import dump_json
from agents.errors import AgentError
from agents.host.protocol import Host
from agents.metrics import Answer, Endpoint, Metrics
from agents.status import Status, write_status
from agents.stores.protocol import Store
from etcdmanager.control.drills import Drill, DrillFile
from etcdmanager.control.store import CONTROL, ControlStore
from etcdmanager.deltas.keeper import DeltaKeeper
from etcdmanager.doctor.looking.certificates import look_at_certificates, places
from etcdmanager.identity import Identity
from etcdmanager.leader.loop import LeaderLoop
from etcdmanager.leadership.lock import LeaderLock
from etcdmanager.member.handlers import MemberHandlers
from etcdmanager.metrics import CERTIFICATES, VERSIONS, LeaderMetrics, define_gauges
from etcdmanager.peering.gossip import Gossip
from etcdmanager.peering.messages import Description
from etcdmanager.report import Picture, document_of, is_ready, leader_report_of, status_of
from etcdmanager.safekeeping import Safekeeping
from etcdmanager.spec import ManagerConfig, agent_name

if TYPE_CHECKING:
    from prometheus_client import Gauge

log = logging.getLogger(__name__)

#: How often the status file is written at least; a reader takes an older one for a manager that is stuck.
WRITE_EVERY = timedelta(seconds=10)
#: How often the leader writes to the control store: at least, and at most where things change.
PUBLISH_EVERY = timedelta(seconds=60)
PUBLISH_GAP = timedelta(seconds=3)
STATUS_KEY = "_status.json"
#: How soon a change of what is done or waited for shows; looking at the news costs nothing.
LOOK_EVERY = timedelta(seconds=1)
#: Certificates are issued for months, drills happen weekly.
LOOK_SLOWLY_EVERY = timedelta(minutes=1)
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
    #: Whose certificates are watched.
    identity: Identity


class Teller:
    """Makes pictures and tells them. `show` puts a line where people look for one (systemctl status)."""

    def __init__(self, config: ManagerConfig, host: Host, clock: Clock, sources: Sources, *, show: Callable[[str], None]) -> None:
        self._config = config
        self._host = host
        self._clock = clock
        self._sources = sources
        self._show = show
        self._picture: Picture | None = None
        self._drill: Drill | None = None
        self._expiry: Gauge | None = None
        self._versions: Gauge | None = None

    async def look_slowly(self) -> None:
        """Look at what changes seldom and takes a while, until cancelled: certificates, versions, and the last restore exercise."""
        told: tuple[str, str, str] | None = None
        looked = datetime.min.replace(tzinfo=UTC)
        while True:
            now, found = self._clock.now(), _incarnation(self._picture)
            if found != told or now - looked >= LOOK_SLOWLY_EVERY:
                told, looked = found, now
                if self._sources.lock.lease is not None:
                    self._drill = await asyncio.to_thread(self._read_drill)
                if self._expiry is not None and self._versions is not None:
                    await asyncio.to_thread(self._read_certificates, self._expiry, found[0])
                    self._versions.clear()
                    self._versions.labels(*found[1:]).set(1)
            await asyncio.sleep(LOOK_EVERY.total_seconds())

    def _read_drill(self) -> Drill | None:
        try:
            return DrillFile(self._sources.store.child(CONTROL)).read()
        except AgentError as error:
            log.debug("the last drill is not known: %s", error)
            return self._drill

    def _read_certificates(self, gauge: Gauge, token: str) -> None:
        shelf = look_at_certificates(self._host, places(self._config, self._sources.identity, (token,) if token else ()))
        gauge.clear()
        for one in shelf.certificates:
            gauge.labels(one.path, one.role).set(one.not_after.timestamp())

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
        define_gauges(metrics, lambda: self._picture)
        self._sources.leader.add_witness(LeaderMetrics(metrics))
        self._expiry = metrics.gauge(*CERTIFICATES)
        self._versions = metrics.gauge(*VERSIONS)
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
            drill=self._drill,
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


def _members(picture: Picture) -> str:
    """Return who serves with which version: commands that follow a change wait for it."""
    view = picture.news.view
    return " ".join(f"{p.id}={p.serves}/{p.etcd.version if p.etcd is not None else ''}" for p in view.peers) if view is not None else ""


def _incarnation(picture: Picture | None) -> tuple[str, str, str]:
    """Return the cluster's token, the wanted and the running version; "" for what is not known."""
    if picture is None:
        return "", "", ""
    member, view = picture.member, picture.news.view
    cluster = member.info.state.cluster if member is not None and member.info.state is not None else None
    wanted = view.spec.etcd_version if view is not None and view.spec is not None else ""
    running = member.etcd.version if member is not None and member.etcd is not None else ""
    return cluster.token if cluster is not None else "", wanted, running
