"""When a quarantined member may be shown to clients again: one at a time, only while the cluster is well.

Go lifts all members in the same second, which is an outage (register B-25).
"""

from __future__ import annotations

from etcdmanager.leader.actions import Answer, LiftQuarantine, Remark
from etcdmanager.leader.view import Peer, Running
from etcdmanager.quorum import quorum


def lift_quarantine(view: Running) -> Answer:
    """Lift the next member once a quorum is healthy; otherwise say what it waits for."""
    quarantined = tuple(p for p in view.peers if p.quarantined)
    if not quarantined:
        return None
    chosen = next_to_lift(view.peers, voters=view.voters)
    if chosen is not None:
        return LiftQuarantine(peer=chosen)
    away = [p.id for p in view.peers if not p.serves]
    return Remark(code="quarantine-waits", reason=f"clients are kept out of {len(quarantined)} members until {', '.join(away)} serve")


def next_to_lift(peers: tuple[Peer, ...], *, voters: int, patient: bool = True) -> str | None:
    """Return the id of the next member to let out; None while lifting would cost more than it brings.

    Args:
        peers: those that answer, of one incarnation.
        voters: how many vote in it.
        patient: whether every answering member must serve first, so that the restart of one costs no quorum.
            Where one member stays broken, patience has an end, and a healthy quorum is enough.

    A raft follower goes before the raft leader: restarting the leader costs an election.
    """
    serving = [p for p in peers if p.serves]
    if len(serving) < quorum(voters) or (patient and len(serving) < len(peers)):
        return None
    quarantined = sorted((p for p in serving if p.quarantined), key=lambda p: (is_raft_leader(p), p.id))
    return quarantined[0].id if quarantined else None


def is_raft_leader(peer: Peer) -> bool:
    """Return whether the peer's etcd leads its raft group."""
    return peer.etcd is not None and peer.etcd.leader_id != 0 and peer.etcd.leader_id == peer.etcd.member_id
