"""Room in the members' databases and on their disks.

    quota reached (NOSPACE: no writes)   ─▶ compact what is ten minutes old ▸ defragment, one member at a time ▸ disarm once all have room
    file more than half empty            ─▶ defragment, one member at a time, at most once a day each
    80 % of the quota, or a full disk    ─▶ told

A member answers nothing while it is defragmented (about a second for 100 MB): followers first, raft's leader last and without the lead,
never while another member is away (law R7).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from etcdmanager.etcd.answers import Alarm
from etcdmanager.leader.actions import Answer, Compact, Defragment, Disarm, Remark
from etcdmanager.leader.rules.versions import order_of_change
from etcdmanager.leader.rules.versions_gates import Change, all_serve, no_learner
from etcdmanager.leader.view import Peer, Running

#: Safeguard S10: what a restore needs beside the live database.
ROOM_FACTOR = 2.5
#: Below this nobody is told: a small cluster's restore needs 200 MB for its log whatever the database's size is.
_ROOM_AT_LEAST_BYTES = 256 << 20
#: When the operator is told.
_QUOTA_WARNS = 0.8
#: What must be free below the quota before the alarm is cleared: a tenth, and at least some requests of the largest size. etcd raises it
#: for the request that would not fit, so a small database may be well below its quota then (seen: 22 of 25 MB).
_ROOM_BELOW_QUOTA = 0.1
_ROOM_BELOW_QUOTA_BYTES = 16 << 20
#: Defragmenting for less than a tenth is not worth the pause, even where the quota is reached.
_WORTH_BELOW = 0.9
#: A status that was taken before a defragmentation must not lead to another one.
_NOT_AGAIN_WITHIN = timedelta(seconds=10)


def report_quota(view: Running) -> Answer:
    """Tell of members whose keys fill most of their quota; defragmenting would not help them."""
    full = [p for p in view.peers if p.etcd is not None and p.etcd.quota_bytes and _in_use(p) >= _QUOTA_WARNS * p.etcd.quota_bytes]
    if not full:
        return None
    reason = "; ".join(f"{p.id}: {_in_use(p) >> 20} of {p.etcd.quota_bytes >> 20} MiB" for p in full if p.etcd is not None)
    return Remark(
        code="quota-nearly-reached",
        reason=f"keys fill the database: {reason}",
        hint="delete what is not wanted, or raise ETCD_QUOTA_BACKEND_BYTES (8 GiB at most) and restart the managers",
    )


def report_disk_room(view: Running) -> Answer:
    """Tell of disks that could not take a restore (S10)."""
    short = [p for p in view.peers if p.disk_free_bytes and p.disk_free_bytes < _wanted_room(p)]
    if not short:
        return None
    return Remark(
        code="S10-disk-nearly-full",
        reason="; ".join(f"{p.id}: {p.disk_free_bytes >> 20} MiB free, a restore would need {_wanted_room(p) >> 20} MiB" for p in short),
        hint="grow the volume; the oldest in data-trashcan/ may go",
    )


def relieve_nospace(view: Running) -> Answer:
    """Make room where etcd refuses writes, and disarm only when there is some."""
    raised = tuple(a for a in view.seen.alarms if a.alarm is Alarm.NOSPACE)
    if not raised:
        return None
    serving = [p for p in view.peers if p.etcd is not None]
    if all(_has_room(p) for p in serving):
        return Disarm(alarms=raised)
    upkeep, now = view.seen.upkeep, view.seen.now
    revision = upkeep.old_revision(now)
    if upkeep.policy.may_compact and revision > upkeep.compacted_at:
        return Compact(revision=revision)
    done = dict(upkeep.defragmented)
    large = tuple(
        p
        for p in serving
        if not _has_room(p)
        and (_in_use(p) < _WORTH_BELOW * _size(p) or _is_before(done.get(p.id), upkeep.compacted_on))
        and (p.id not in done or now - done[p.id] > _NOT_AGAIN_WITHIN)
    )
    if large:
        return defragmentation(view, large)
    why = "compaction is left to you" if not upkeep.policy.may_compact else "what may be compacted was"
    return Remark(
        code="etcd-nospace",
        reason=f"etcd is at its quota and takes no writes; {why}, and the rest is in use",
        hint="delete keys, or raise ETCD_QUOTA_BACKEND_BYTES (8 GiB at most) and restart the managers; the alarm is then cleared by itself",
    )


def defragment(view: Running) -> Answer:
    """Defragment the next member whose file is mostly holes, or that an operator asked for."""
    upkeep, now = view.seen.upkeep, view.seen.now
    policy, done = upkeep.policy, dict(upkeep.defragmented)
    if view.seen.alarms or any(now - at < policy.defragment_gap for at in done.values()):
        return None
    holey = tuple(
        p
        for p in view.peers
        if p.etcd is not None
        and _size(p) >= policy.defragment_from_bytes
        and _in_use(p) < policy.defragment_below * _size(p)
        and (p.id not in done or now - done[p.id] >= policy.defragment_every)
    )
    return defragmentation(view, holey) if holey else None


def defragmentation(view: Running, peers: tuple[Peer, ...], *, request: str = "") -> Answer:
    """Return the defragmentation of the first of `peers`, or what it waits for; `request` is the id of what an operator asked."""
    upkeep, now = view.seen.upkeep, view.seen.now
    if upkeep.since is None or now - upkeep.since < upkeep.policy.defragment_after:
        return Remark(code="defragmentation-waits", reason="a new leader waits for what its predecessor may have begun")
    peer = order_of_change(peers)[0]
    for gate in (no_learner, all_serve):
        closed = gate(view, Change(peer=peer))
        if isinstance(closed, Remark):
            return Remark(code="defragmentation-waits", reason=closed.reason)
    return Defragment(peer=peer.id, request=request)


def _wanted_room(peer: Peer) -> int:
    return max(_ROOM_AT_LEAST_BYTES, int(ROOM_FACTOR * _size(peer)))


def _size(peer: Peer) -> int:
    return peer.etcd.db_size_bytes if peer.etcd is not None else 0


def _in_use(peer: Peer) -> int:
    """Return how much of the file holds something; all of it where etcd does not say."""
    return (peer.etcd.db_in_use_bytes or peer.etcd.db_size_bytes) if peer.etcd is not None else 0


def _is_before(defragmented: datetime | None, compacted: datetime | None) -> bool:
    """Return whether a member was not defragmented since the leader compacted.

    What a compaction freed counts as in use until something is written, and at its quota nothing is (seen with 3.4.23).
    """
    return compacted is not None and (defragmented is None or defragmented < compacted)


def _has_room(peer: Peer) -> bool:
    """Return whether etcd could take writes for a while."""
    quota = _quota(peer)
    return quota - _size(peer) >= max(_ROOM_BELOW_QUOTA * quota, min(_ROOM_BELOW_QUOTA_BYTES, quota / 2))


def _quota(peer: Peer) -> int:
    """Return the member's quota; where that is not known, its size counts as just over it."""
    return (peer.etcd.quota_bytes if peer.etcd is not None else 0) or _size(peer)
