"""What a running cluster is owed: its marker, backups on time and on request, and no more of them than wanted."""

from __future__ import annotations

from etcdmanager.leader.actions import Answer, DeleteBackups, Remark, TakeBackup, WriteMarker
from etcdmanager.leader.rules.preparation import stray_preparation
from etcdmanager.leader.rules.quarantine import is_raft_leader
from etcdmanager.leader.view import Peer, Running


def drop_preparations(view: Running) -> Answer:
    """Have members drop restored data that waits for nothing: its command was deleted, or given up while they were away."""
    return stray_preparation(view.seen.peers)


def write_missing_marker(view: Running) -> Answer:
    """Write the created-marker of a cluster that lives; a lost marker must never lead to a second formation.

    With the marker goes the record of the formation, where its leader died before that: were the marker lost later, a member
    with a new disk would be told to found the cluster again, under its old identity and without its log.
    """
    complete = view.seen.marker and view.seen.formation is None
    return WriteMarker() if not complete and view.has_quorum else None


def report_backups_from_the_future(view: Running) -> Answer:
    """Tell of backups that a wrong clock named; `latest` means the last of them."""
    wrong = view.seen.from_the_future
    if not wrong:
        return None
    return Remark(
        code="backup-from-the-future",
        reason=f"{len(wrong)} backups have names from the future, the last {wrong[-1].name}: some machine's clock is, or was, wrong",
        hint="look at the clocks; restore by name, not latest, until they are gone",
    )


def backup_on_request(view: Running) -> Answer:
    """Answer all waiting requests with one backup; those for a certain member are `backup_of_member`'s."""
    requests = tuple(r for r in view.seen.requests if not r.member)
    if not requests or not view.etcd_has_quorum:
        return None
    label = next((r.label for r in requests if r.label), "")
    return TakeBackup(peers=backup_sources(view.healthy), why=label or "request", requests=requests)


def backup_of_member(view: Running) -> Answer:
    """Back a certain member up, quorum or not: what it has may be all that is left (recover-from-member)."""
    for request in view.seen.requests:
        peer = next((p for p in view.peers if p.id == request.member), None)
        if peer is not None and peer.etcd is not None:
            return TakeBackup(peers=(peer.id,), why=request.label or "request", requests=(request,))
    return None


def periodic_backup(view: Running) -> Answer:
    """Back up when the newest backup in the store is older than the interval.

    The store is the memory: a new leader does not back up at once as Go's does (register B-45), and
    nothing shifts the schedule.
    """
    if not view.etcd_has_quorum:
        return None
    newest = view.seen.backed_up_at
    if newest is not None and view.seen.now - newest < view.seen.policy.interval:
        return None
    return TakeBackup(peers=backup_sources(view.healthy), why="schedule")


def delete_expired_backups(view: Running) -> Answer:
    """Delete what retention no longer asks for, at most once per cleanup interval, and only while the cluster is well.

    Without quorum no new backup can be taken, so none is deleted either.
    """
    last = view.seen.last_cleanup
    if not view.seen.expired_backups or not view.has_quorum:
        return None
    if last is not None and view.seen.now - last < view.seen.policy.cleanup_interval:
        return None
    return DeleteBackups(names=view.seen.expired_backups)


def backup_sources(peers: tuple[Peer, ...]) -> tuple[str, ...]:
    """Return who can be asked for a backup, in order: ours before Go's, raft followers before the leader, the furthest ahead first."""
    serving = [p for p in peers if p.serves]
    ordered = sorted(serving, key=lambda p: (not p.is_ours, is_raft_leader(p), -(p.etcd.raft_index if p.etcd else 0), p.id))
    return tuple(p.id for p in ordered)
