"""etcd's own status as managers tell it to each other. Pure."""

from __future__ import annotations

from etcdmanager.etcd.answers import MemberStatus
from etcdmanager.peering.messages import LiveStatus


def live_status(status: MemberStatus) -> LiveStatus:
    """Return what a member says of itself as a message between managers."""
    return LiveStatus(
        member_id=status.member_id,
        cluster_id=status.cluster_id,
        leader_id=status.leader_id,
        raft_index=status.raft_index,
        raft_applied_index=status.raft_applied_index,
        raft_term=status.raft_term,
        revision=status.revision,
        db_size_bytes=status.db_size_bytes,
        db_in_use_bytes=status.db_in_use_bytes,
        version=status.version,
        is_learner=status.is_learner,
        errors=status.errors,
        storage_version=status.storage_version,
        downgrade_target=status.downgrade_target,
        quota_bytes=status.db_quota_bytes,
    )
