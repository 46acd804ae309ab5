"""Bringing the members to the version that the spec asks for: in place, one at a time, followers first, raft's leader last (law R7).

    way_to (versions_path) ──Move──▶ next member ──gates (versions_gates)──▶ ChangeVersion ──▶ look again
                           ├─AllowDowngrade, ForbidDowngrade──▶ etcd's own downgrade, from 3.6 on
                           └─Blocked──▶ told, with what to do

Nothing is remembered: the members' own versions say how far a change is, so any leader goes on where another died. A change is taken back
by asking for the old version, as long as one member still runs it.
"""

from __future__ import annotations

from typing import assert_never

from agents.versions import Version
from etcdmanager.etcd.features import line
from etcdmanager.leader.actions import Answer, CancelDowngrade, ChangeVersion, EnableDowngrade, Remark
from etcdmanager.leader.rules.lifecycle import peers_without_version
from etcdmanager.leader.rules.quarantine import is_raft_leader
from etcdmanager.leader.rules.versions_gates import Change, first_closed
from etcdmanager.leader.rules.versions_path import AllowDowngrade, Blocked, ForbidDowngrade, Move, Runner, Way, parsed, way_to
from etcdmanager.leader.view import ClusterView, Peer, Running


def report_missing_binaries(view: Running) -> Answer:
    """Tell of members that run the wanted version and could not be started again: its binaries are gone."""
    spec = view.seen.spec
    if spec is None or parsed(spec.etcd_version) is None:
        return None
    lacking = peers_without_version(tuple(p for p in view.peers if p.etcd_version == spec.etcd_version), spec.etcd_version)
    if not lacking:
        return None
    return Remark(code="unknown-etcd-version", reason=f"etcd {spec.etcd_version} is not installed on {', '.join(lacking)}")


def report_version_difference(view: Running) -> Answer:
    """Tell of members that run another version than the spec asks for, while they do."""
    spec = view.seen.spec
    if spec is None:
        return None
    others = [f"{p.id} {p.etcd_version}" for p in view.peers if p.etcd_version != spec.etcd_version]
    if not others:
        return None
    return Remark(code="version-differs", reason=f"the spec asks for etcd {spec.etcd_version}: {', '.join(others)}")


def change_versions(view: Running) -> Answer:
    """Take the next step to the wanted version, or say what it waits for."""
    wanted = parsed(view.seen.spec.etcd_version) if view.seen.spec is not None else None
    if wanted is None or not view.has_quorum:
        return None
    way = next_way(view, wanted)
    match way:
        case None:
            return None
        case Blocked(code=code, reason=reason, hint=hint):
            return Remark(code=code, reason=reason, hint=hint)
        case ForbidDowngrade():
            return CancelDowngrade()
        case AllowDowngrade(to=to):
            return _allow_downgrade(view, wanted, to)
        case Move():
            return _move(view, way)
        case _:
            assert_never(way)


def next_way(view: Running, wanted: Version) -> Way:
    """Return what `way_to` says of the members that are seen."""
    return way_to(
        wanted,
        [runner for p in view.peers if (runner := runner_of(p)) is not None],
        available=common_versions(view.peers),
        cluster=view.seen.upkeep.cluster_version,
    )


def order_of_change(peers: tuple[Peer, ...]) -> tuple[Peer, ...]:
    """Return peers in the order in which they are restarted: first who is down anyway, then followers by name, last raft's leader."""
    return tuple(sorted(peers, key=lambda p: (p.serves, is_raft_leader(p), p.id)))


def cluster_version_matters(seen: ClusterView) -> Version | None:
    """Return the minor line at which all members are and from which a further one is wanted: then the cluster's version is to be asked."""
    wanted = parsed(seen.spec.etcd_version) if seen.spec is not None else None
    runs = {parsed(p.etcd.version) for p in seen.configured if p.etcd is not None}
    lines = {line(version) for version in runs if version is not None}
    if wanted is None or len(lines) != 1 or None in runs:
        return None
    major, minor = lines.pop()
    return Version(major=major, minor=minor) if (3, 5) <= (major, minor) < line(wanted) else None


def common_versions(peers: tuple[Peer, ...]) -> tuple[Version, ...]:
    """Return the versions that every one of `peers` has, oldest first."""
    return tuple(sorted(set[Version].intersection(*(set(p.versions) for p in peers)))) if peers else ()


def runner_of(peer: Peer) -> Runner | None:
    """Return a member as versions_path sees it; None where its state names no version that parses."""
    asked = parsed(peer.etcd_version)
    if asked is None:
        return None
    status = peer.etcd
    return Runner(
        peer=peer.id,
        asked=asked,
        runs=parsed(status.version) if status is not None else None,
        storage=parsed(status.storage_version) if status is not None else None,
        downgrade_target=parsed(status.downgrade_target) if status is not None else None,
    )


def _move(view: Running, way: Move) -> Answer:
    """Return the change of the next member, or what holds it."""
    peers = order_of_change(tuple(p for p in view.peers if p.id in way.peers))
    if not peers:
        waiting = [p for p in view.peers if not p.serves]
        return first_closed(view, Change(peer=waiting[0] if waiting else view.peers[0], to=way.to))
    peer = peers[0]
    closed = first_closed(view, Change(peer=peer, to=way.to, back=_is_taken_back(view, peer, way.to)))
    return closed if closed is not None else ChangeVersion(peer=peer.id, to=str(way.to))


def _is_taken_back(view: Running, peer: Peer, to: Version) -> bool:
    """Return whether a member that does not come up is to run again what all others run."""
    others = [p for p in view.peers if p.id != peer.id]
    return not peer.serves and bool(others) and all(p.serves and p.etcd is not None and parsed(p.etcd.version) == to for p in others)


def _allow_downgrade(view: Running, wanted: Version, to: Version) -> Answer:
    """Enable etcd's own downgrade once the gates are open for the first member that would be moved."""
    closed = first_closed(view, Change(peer=order_of_change(view.peers)[0], to=wanted))
    return closed if closed is not None else EnableDowngrade(to=f"{to.major}.{to.minor}")
