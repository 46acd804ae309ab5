"""Reading what the leading manager last told of a cluster: from the control store, or from this node's own status file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agents.documents import as_list, as_mapping, as_str, load_json
from agents.errors import NotFoundError, SpecError
from agents.stores.protocol import Store
from agents.timestamps import parse_timestamp
from etcdmanager.control.pause import Pause, PauseFile

#: The leader writes at least once a minute; more than two missed ones and it is stuck, cut off, or gone.
STALE_AFTER = timedelta(seconds=150)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is waited for, as the manager said it."""

    reason: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterReport:
    """What is known of one etcd cluster."""

    etcd: str
    #: Who told it, and when; None where nobody ever did.
    told_by: str
    told_at: datetime | None
    message: str
    #: The cluster part of the leader's status; empty where nobody told it.
    cluster: Mapping[str, object]
    problems: tuple[Problem, ...]
    #: Whether the control store has the created-marker.
    created: bool
    #: Who holds the lock; "" for nobody.
    leader: str
    #: What of it could not be read, as a sentence; "" where all could.
    unreadable: str = ""
    #: That an operator wants nothing begun; it may be over.
    pause: Pause | None = None

    def is_stale(self, now: datetime) -> bool:
        """Return whether what was told is too old to be believed."""
        return self.told_at is None or now - self.told_at > STALE_AFTER

    @property
    def members(self) -> tuple[Mapping[str, object], ...]:
        """Return the rows of all known peers."""
        rows = self.cluster.get("members", [])
        return tuple(as_mapping(row, where="members") for row in as_list(rows, where="members"))

    @property
    def wanted(self) -> int:
        """Return how many members the spec asks for; 0 where that was not told."""
        wanted = self.cluster.get("wanted")
        count = as_mapping(wanted, where="wanted").get("members") if wanted else 0
        return count if isinstance(count, int) else 0


def read_report(store: Store, etcd: str) -> ClusterReport:
    """Return what the control store of a backup store says; NotFoundError where nothing was ever there.

    A status that does not parse is as good as none, and said so: nobody's verb must fail because of it.
    """
    control = store.child("control")
    created = control.exists("etcd-cluster-created")
    leader, pause = _holder(control), _pause(control)
    where = f"{control.url}/_status.json"
    try:
        content = control.read("_status.json")
    except NotFoundError:
        require_cluster(store)
        return _nothing_told(etcd, "no manager told anything yet", created=created, leader=leader, pause=pause)
    try:
        return replace(parse_report(content, where=where, etcd=etcd, created=created, leader=leader), pause=pause)
    except SpecError as error:
        nothing = f"what the leading manager told cannot be read: {error}"
        return replace(_nothing_told(etcd, nothing, created=created, leader=leader, pause=pause), unreadable=str(error))


def _nothing_told(etcd: str, message: str, *, created: bool, leader: str, pause: Pause | None) -> ClusterReport:
    return ClusterReport(
        etcd=etcd, told_by="", told_at=None, message=message, cluster={}, problems=(), created=created, leader=leader, pause=pause
    )


def require_cluster(store: Store) -> None:
    """Raise NotFoundError where nobody ever wanted an etcd cluster in this backup store: it is mistyped."""
    control = store.child("control")
    if not control.exists("etcd-cluster-created") and not control.exists("etcd-cluster-spec"):
        raise NotFoundError(f"{control.url} has no etcd cluster", hint="check --state and --name, or --backup-store")


def parse_report(content: bytes, *, where: str, etcd: str, created: bool, leader: str) -> ClusterReport:
    """Return the report in a leader's status document; SpecError where it is none, in whatever way it is damaged."""
    document = as_mapping(load_json(content, where=where), where=where)
    details = as_mapping(document.get("details", {}), where=f"{where}: details")
    cluster = details.get("cluster")
    rows = [as_mapping(row, where=f"{where}: waiting") for row in as_list(document.get("waiting", []), where=f"{where}: waiting")]
    member = details.get("member")
    report = ClusterReport(
        etcd=etcd,
        told_by=str(as_mapping(member, where=f"{where}: member").get("id", "")) if member else "",
        told_at=parse_timestamp(as_str(document.get("updated"), where=f"{where}: updated"), where=f"{where}: updated"),
        message=as_str(document.get("message", ""), where=f"{where}: message"),
        cluster=as_mapping(cluster, where=f"{where}: cluster") if cluster else {},
        problems=tuple(Problem(reason=str(row.get("reason", "")), hint=str(row.get("hint", ""))) for row in rows),
        created=created,
        leader=leader,
    )
    # Whoever asks later must not find the damage.
    _ = (report.members, report.wanted)
    return report


def _pause(control: Store) -> Pause | None:
    """Return the pause; None also for one that does not parse, which no leader minds."""
    try:
        return PauseFile(control).read()
    except SpecError:
        return None


def _holder(control: Store) -> str:
    """Return who holds the lock; "" for nobody, and for a lock that cannot be read."""
    try:
        document = as_mapping(load_json(control.read("_lock.json"), where="_lock.json"), where="_lock.json")
    except (NotFoundError, SpecError):
        return ""
    return str(document.get("holder", ""))
