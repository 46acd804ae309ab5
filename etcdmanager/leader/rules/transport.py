"""Whether etcd's list agrees with how the peers say they are reached. Differences are told, not changed (issue 4)."""

from __future__ import annotations

from etcdmanager.leader.actions import Answer, Remark
from etcdmanager.leader.view import Running


def report_peer_urls(view: Running) -> Answer:
    """Tell of members whose listed peer URLs are not the ones of their own configuration."""
    differing = []
    for peer in view.peers:
        member = view.member_of(peer)
        if member is not None and sorted(member.peer_urls) != sorted(peer.node.peer_urls):
            differing.append(f"{peer.id}: etcd lists {', '.join(member.peer_urls)}, it has {', '.join(peer.node.peer_urls)}")
    return Remark(code="peer-urls-differ", reason="; ".join(differing)) if differing else None
