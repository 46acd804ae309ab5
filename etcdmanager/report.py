"""What one manager tells of itself and, while it leads, of the cluster: pure, from values to an agents.status.Status.

/run/node-agents/status/etcd-manager@<name>.json, GET /status and `etcd-manager status` show the same document
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.status import API_VERSION, Status, Waiting
from agents.timestamps import format_timestamp
from etcdmanager.backups.second_store_keeper import CopyNews
from etcdmanager.backups.spool_keeper import SpoolNews
from etcdmanager.control.commands import LeaderReport
from etcdmanager.control.drills import Drill
from etcdmanager.deltas.collect import DeltaNews
from etcdmanager.leader.actions import Remark, Wait, describe
from etcdmanager.leader.loop import LeaderNews
from etcdmanager.leader.view import ClusterView, Holding, Peer, Running, phase_of
from etcdmanager.leadership.claim import LockRecord
from etcdmanager.peering.gossip import PeerSight
from etcdmanager.peering.messages import Description
from etcdmanager.report_stores import copies_document, copies_waiting, spool_document, spool_waiting
from etcdmanager.report_upkeep import upkeep_of_cluster, upkeep_of_member

_NO_DELTAS = DeltaNews()
_NO_COPIES = CopyNews()
_NO_SPOOL = SpoolNews()
#: A member that restarts interrupts the deltas for some seconds, and loses none.
_DELTAS_MAY_PAUSE = timedelta(seconds=30)
#: A backup that is older than this many intervals is told as stale.
_STALE_AFTER_INTERVALS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything that a report is made of."""

    agent: str
    now: datetime
    #: None before the member was looked at the first time.
    member: Description | None
    sights: tuple[PeerSight, ...]
    lock: LockRecord | None
    leads: bool
    news: LeaderNews
    backup_interval: timedelta
    deltas: DeltaNews = _NO_DELTAS
    #: The last restore exercise, where this manager leads and there was one.
    drill: Drill | None = None
    copies: CopyNews = _NO_COPIES
    spool: SpoolNews = _NO_SPOOL


def status_of(picture: Picture) -> Status:
    """Return the whole status."""
    waiting = _waiting(picture)
    return Status(
        agent=picture.agent,
        state=_state(picture, waiting),
        message=_message(picture),
        waiting=waiting,
        details=_details(picture),
        updated=picture.now,
    )


def document_of(status: Status) -> dict[str, object]:
    """Return the status as the document that GET /status and the control store's `_status.json` hold."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Status",
        "agent": status.agent,
        "state": status.state,
        "message": status.message,
        "updated": format_timestamp(status.updated) if status.updated is not None else None,
        "waiting": [{"reason": w.reason, "since": format_timestamp(w.since), "hint": w.hint} for w in status.waiting],
        "details": dict(status.details),
    }


def leader_report_of(picture: Picture) -> LeaderReport | None:
    """Return what commands far from the cluster judge a restore by; None where this manager leads nothing."""
    view = picture.news.view
    if not picture.leads or view is None:
        return None
    phase = phase_of(view)
    serving = phase.healthy if isinstance(phase, Running) else ()
    return LeaderReport(
        reported_at=picture.now,
        leader=picture.lock.holder if picture.lock is not None else "",
        epoch=picture.news.epoch,
        has_quorum=isinstance(phase, Running) and phase.etcd_has_quorum,
        revision=max((p.etcd.revision for p in serving if p.etcd is not None), default=0),
        etcd_version=min((p.etcd.version for p in serving if p.etcd is not None), default=""),
        healthy=tuple(p.node.name for p in serving),
        members=tuple(sorted(m.name for m in view.members or ())),
    )


def is_ready(picture: Picture) -> bool:
    """Return whether this member serves: its etcd answers, follows a raft leader, and is not in quarantine."""
    member = picture.member
    if member is None or member.etcd is None or member.info.state is None:
        return False
    return member.etcd.leader_id != 0 and not member.info.state.quarantined


def _state(picture: Picture, waiting: tuple[Waiting, ...]) -> str:
    if picture.member is None:
        return "starting"
    if picture.member.hold is not None:
        return "failed"
    if not is_ready(picture):
        return "waiting"
    return "degraded" if waiting else "running"


def _message(picture: Picture) -> str:
    decision = picture.news.decision
    if picture.leads and picture.news.error:
        return picture.news.error
    if picture.leads and decision is not None:
        return f"leads (epoch {picture.news.epoch}): {describe(decision.action)}"
    holder = picture.lock.holder if picture.lock is not None else ""
    return f"follows {holder}" if holder else "nobody leads"


def _waiting(picture: Picture) -> tuple[Waiting, ...]:
    """Return what is being waited for: of our member, and of the cluster while we lead it."""
    found = []
    hold = picture.member.hold if picture.member is not None else None
    if hold is not None:
        found.append(Waiting(reason=f"{hold.code}: {hold.reason}", since=picture.now, hint=hold.hint))
    found += spool_waiting(picture.spool)
    news = picture.news
    if not picture.leads:
        return (*found, *_cut_off(picture))
    since = news.since or picture.now
    if news.error:
        found.append(Waiting(reason=f"{news.error_code}: {news.error}", since=since))
    if news.decision is not None:
        answers = (*((news.decision.action,) if isinstance(news.decision.action, Wait) else ()), *news.decision.remarks)
        found += [_waiting_for(answer, since) for answer in answers]
    paused = picture.deltas.problem_since
    if paused is not None and picture.now - paused > _DELTAS_MAY_PAUSE:
        reason = f"deltas-{picture.deltas.problem_code}: changes are not collected: {picture.deltas.problem}"
        found.append(Waiting(reason=reason, since=paused, hint="restores reach back to full backups only, until this is over"))
    return (*found, *copies_waiting(picture.copies, picture.now))


def _cut_off(picture: Picture) -> tuple[Waiting, ...]:
    """Return that we reach hardly anybody: then we are the last to take the lock. Nothing where this is not so."""
    away = [s.id for s in picture.sights if not s.healthy]
    if not away or 2 * len(away) < len(picture.sights) + 1:
        return ()
    reason = f"few-managers-reached: no contact with {', '.join(away)}; others that reach more lead first"
    return (Waiting(reason=reason, since=picture.now, hint="look at the network and at etcd-manager-ca on each machine"),)


def _waiting_for(answer: Wait | Remark, since: datetime) -> Waiting:
    return Waiting(reason=f"{answer.code}: {answer.reason}", since=since, hint=answer.hint)


def _details(picture: Picture) -> dict[str, object]:
    lock = picture.lock
    document: dict[str, object] = {
        "peers": [{"id": s.id, "healthy": s.healthy, "endpoints": list(s.endpoints), "lastError": s.last_error} for s in picture.sights],
        "leader": {"holder": lock.holder, "epoch": lock.epoch, "since": format_timestamp(lock.acquired_at)} if lock is not None else None,
        "leads": picture.leads,
        "member": _member(picture.member) if picture.member is not None else None,
    }
    document["spool"] = spool_document(picture.spool)
    if picture.leads and picture.news.view is not None:
        document["cluster"] = _cluster(picture.news.view, picture)
        decision = picture.news.decision
        document["deltas"] = _deltas(picture.deltas)
        document["secondStore"] = copies_document(picture.copies)
        document["decision"] = {"rule": decision.rule, "phase": decision.phase, "action": describe(decision.action)} if decision else None
    return document


def _deltas(news: DeltaNews) -> dict[str, object]:
    return {
        "collecting": news.collecting,
        "lineage": str(news.lineage) if news.lineage is not None else "",
        "writtenRevision": news.written_revision,
        "currentAt": format_timestamp(news.current_at) if news.current_at is not None else None,
        "problem": news.problem,
    }


def _member(member: Description) -> dict[str, object]:
    state, etcd = member.info.state, member.etcd
    return {
        "id": member.peer_id,
        "cluster": state.cluster.token if state is not None and state.cluster is not None else "",
        "quarantined": state.quarantined if state is not None else False,
        "pid": member.process.pid,
        "restarts": member.process.failures,
        "lastExit": member.process.last_exit,
        "version": etcd.version if etcd is not None else "",
        "memberId": f"{etcd.member_id:x}" if etcd is not None else "",
        "revision": etcd.revision if etcd is not None else 0,
        "dbSizeBytes": etcd.db_size_bytes if etcd is not None else 0,
        "freeBytes": member.disk.free_bytes,
        "trash": list(member.disk.trash),
    }


def _cluster(view: ClusterView, picture: Picture) -> dict[str, object]:
    phase = phase_of(view)
    newest = view.backups[-1] if view.backups else None
    backed_up_at = view.backed_up_at
    stale = backed_up_at is None or picture.now - backed_up_at > picture.backup_interval * _STALE_AFTER_INTERVALS
    leader = next((p.id for p in view.peers if p.etcd is not None and p.etcd.leader_id == p.etcd.member_id), "")
    return {
        "name": view.cluster_name,
        "phase": type(phase).__name__,
        "token": phase.token if isinstance(phase, Running) else "",
        "wanted": {"members": view.spec.member_count, "version": view.spec.etcd_version} if view.spec else None,
        "hasQuorum": phase.etcd_has_quorum if isinstance(phase, Running) else False,
        "raftLeader": leader,
        "voters": phase.voters if isinstance(phase, Running) else 0,
        "healthyVoters": len(phase.healthy) if isinstance(phase, Running) else 0,
        "members": [_row(view, peer) for peer in view.peers] + [_absent_row(a.id, a.reason) for a in view.absent],
        "lastBackup": {"name": newest.name, "takenAt": format_timestamp(newest.taken_at)} if newest else None,
        "backupStale": stale,
        "backups": len(view.backups),
        "lastDrill": {"at": format_timestamp(picture.drill.at), "backup": picture.drill.backup, "problem": picture.drill.problem}
        if picture.drill is not None
        else None,
        **upkeep_of_cluster(view),
    }


def _row(view: ClusterView, peer: Peer) -> dict[str, object]:
    listed = next((m for m in view.members or () if m.name == peer.node.name), None)
    role = "none" if listed is None else "learner" if listed.is_learner else "voter"
    return {
        "name": peer.id,
        "answers": True,
        "holds": peer.holds.value,
        "serves": peer.serves,
        "role": role if peer.holds is Holding.CLUSTER else "none",
        "quarantined": peer.quarantined,
        "memberId": f"{peer.etcd.member_id:x}" if peer.etcd else "",
        "version": peer.etcd.version if peer.etcd else peer.etcd_version,
        "raftTerm": peer.etcd.raft_term if peer.etcd else 0,
        "raftIndex": peer.etcd.raft_index if peer.etcd else 0,
        "revision": peer.etcd.revision if peer.etcd else 0,
        "dbSizeBytes": peer.etcd.db_size_bytes if peer.etcd else 0,
        "clientUrls": list(peer.node.client_urls),
        "problem": peer.problem or _silence(peer),
        **upkeep_of_member(peer),
    }


def _silence(peer: Peer) -> str:
    """Return what is wrong with a member that nothing else explains: hung, starting, or without a raft leader."""
    return "its manager answers, its etcd does not serve" if peer.holds is Holding.CLUSTER and not peer.serves else ""


def _absent_row(name: str, reason: str) -> dict[str, object]:
    return {"name": name, "answers": False, "holds": "", "serves": False, "role": "", "problem": reason}
