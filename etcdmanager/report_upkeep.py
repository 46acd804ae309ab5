"""What a leader tells of versions, databases and alarms, for status and the commands that plan by it; pure."""

from __future__ import annotations

from agents.timestamps import format_timestamp
from etcdmanager.leader.rules.versions import common_versions
from etcdmanager.leader.view import ClusterView, Peer


def upkeep_of_cluster(view: ClusterView) -> dict[str, object]:
    """Return the part of the cluster's document that tells of all members together."""
    names = {m.id: m.name for m in view.members or ()}
    found, verified = view.upkeep.hashes, view.upkeep.verified_backup_at
    return {
        "alarms": [{"member": names.get(a.member_id) or f"{a.member_id:x}", "alarm": a.alarm.name} for a in view.alarms],
        "commonVersions": [str(v) for v in common_versions(view.configured)],
        "hashes": None
        if found is None
        else {"at": format_timestamp(found.at), "revision": found.revision, "equal": found.equal, "odd": list(found.odd)},
        "verifiedBackupAt": format_timestamp(verified) if verified is not None else None,
    }


def upkeep_of_member(peer: Peer) -> dict[str, object]:
    """Return the part of a member's row; bytes are 0 where nobody says."""
    etcd = peer.etcd
    return {
        "askedVersion": peer.etcd_version,
        "storageVersion": etcd.storage_version if etcd is not None else "",
        "downgradeTarget": etcd.downgrade_target if etcd is not None else "",
        "dbInUseBytes": etcd.db_in_use_bytes if etcd is not None else 0,
        "quotaBytes": etcd.quota_bytes if etcd is not None else 0,
        "freeBytes": peer.disk_free_bytes,
        "peerUrls": list(peer.state_peer_urls),
    }
