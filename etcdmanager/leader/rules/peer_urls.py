"""Where the members are reached by one another: etcd's list and the members' listeners follow the peers' own configuration.

    configured ≠ listed ──▶ raft's lead away ▸ MemberUpdate ▸ the member's etcd restarts, listening there      one member at a time
    configured = listed ≠ listening (a leader died in between) ──▶ the restart alone, at once

http becomes https the same way (reference, section 6.8): all members have their certificates from the start, so either kind of member
can dial the other. Between list and restart nobody reaches the member: it is then one that is down, which the gates made sure of.
A Go manager keeps its own record of where to listen; such a member is only told of.
"""

from __future__ import annotations

from etcdmanager.leader.actions import Answer, ChangePeerUrls, Remark
from etcdmanager.leader.rules.versions import order_of_change
from etcdmanager.leader.rules.versions_gates import Change, first_closed
from etcdmanager.leader.view import Peer, Running


def report_peer_urls(view: Running) -> Answer:
    """Tell of members whose listed peer URLs are not the ones of their own configuration."""
    differing = [
        f"{p.id}: etcd lists {', '.join(listed)}, it has {', '.join(p.node.peer_urls)}"
        for p in view.peers
        if (listed := _listed(view, p)) is not None and sorted(listed) != sorted(p.node.peer_urls)
    ]
    return Remark(code="peer-urls-differ", reason="; ".join(differing)) if differing else None


def finish_peer_urls(view: Running) -> Answer:
    """Have a member listen where it is listed already; until then nobody reaches it, so no gate holds this."""
    for peer in view.peers:
        listed = _listed(view, peer)
        moved = listed is not None and sorted(listed) == sorted(peer.node.peer_urls)
        if moved and peer.state_peer_urls and sorted(peer.state_peer_urls) != sorted(peer.node.peer_urls):
            return ChangePeerUrls(peer=peer.id, urls=peer.node.peer_urls)
    return None


def change_peer_urls(view: Running) -> Answer:
    """Take the next member to the peer URLs of its configuration, or say what that waits for."""
    differing = [p for p in view.peers if p.state_peer_urls and (listed := _listed(view, p)) is not None and _differs(listed, p)]
    if not differing:
        return None
    peer = order_of_change(tuple(differing))[0]
    for member in view.seen.members or ():
        if member.name != peer.node.name and set(member.peer_urls) & set(peer.node.peer_urls):
            return Remark(code="peer-urls-clash", reason=f"{peer.id} is configured with a peer URL that {member.name} has")
    closed = first_closed(view, Change(peer=peer))
    return closed if closed is not None else ChangePeerUrls(peer=peer.id, urls=peer.node.peer_urls)


def _differs(listed: tuple[str, ...], peer: Peer) -> bool:
    return bool(peer.node.peer_urls) and sorted(listed) != sorted(peer.node.peer_urls)


def _listed(view: Running, peer: Peer) -> tuple[str, ...] | None:
    member = view.member_of(peer)
    return member.peer_urls if member is not None else None
