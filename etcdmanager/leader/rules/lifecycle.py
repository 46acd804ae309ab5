"""How a cluster begins: who may form it, and every reason not to.

    no record --decide_formation--> record written --start_founding_members--> all told --seal_formation--> marker, spec

A new cluster is formed only where nothing was before: no marker, no backup, no peer with data, state or trash,
and every known peer answering, because an absent one might hold the data. Go's etcd-manager re-creates an empty
cluster over a live one when the marker is lost (register B-01, kubernetes/kops#16416); safeguard S1 forbids it here.
"""

from __future__ import annotations

from agents.versions import Version
from etcdmanager.control.commands import Formation
from etcdmanager.leader.actions import Answer, DecideFormation, SealFormation, StartMembers, Wait
from etcdmanager.leader.view import ClusterView, Holding, NoCluster, Peer, formation_is_open
from etcdmanager.spec import ClusterSpec

_RESTORE_HINT = "etcd-manager list-backups, then etcd-manager restore-backup latest"


def refuse_damaged_peer(view: NoCluster) -> Answer:
    """Wait while any peer cannot tell what its own disk holds."""
    damaged = [p for p in view.seen.peers if p.holds is Holding.DAMAGED]
    if not damaged:
        return None
    return Wait(
        code="S1-damaged-state",
        reason="; ".join(f"{p.id}: {p.problem or 'state unreadable'}" for p in damaged),
        hint="on that node: put state.previous back as state, or move state and data/ away if they are not wanted; then it goes on",
    )


def refuse_twins(view: NoCluster) -> Answer:
    """Wait while two managers say they are one peer: nothing tells which of them would get what is said to the other."""
    return wait_for_one_of_twins(view.seen)


def wait_for_one_of_twins(seen: ClusterView) -> Wait | None:
    """Return the wait for an operator to stop one of two managers of one id, None where every id is one manager's."""
    if not seen.twins:
        return None
    return Wait(
        code="twins",
        reason="; ".join(f"two managers are {t.id}: at {' and '.join(t.endpoints)}" for t in seen.twins),
        hint="stop the one that has the wrong disk",
    )


def refuse_over_data(view: NoCluster) -> Answer:
    """Wait while any peer holds data, trash or another incarnation than the one being formed."""
    formation = view.seen.formation if formation_is_open(view.seen) else None
    token = formation.token if formation else ""
    holders = [p for p in view.seen.peers if p.holds is not Holding.EMPTY and not _belongs(p, token)]
    if not holders:
        return None
    return Wait(
        code="S1-peer-holds-data",
        reason="no new cluster is formed: " + "; ".join(f"{p.id} holds {_what(p)}" for p in holders),
        hint=_RESTORE_HINT,
    )


def refuse_over_backups(view: NoCluster) -> Answer:
    """Wait where backups exist: a cluster lived here, and an operator must say that it is to be restored."""
    backups = view.seen.backups
    if not backups or view.seen.marker:
        return None
    return Wait(
        code="S1-backups-exist",
        reason=f"no new cluster is formed: the backup store holds {len(backups)} backups, the newest {backups[-1].name}",
        hint=_RESTORE_HINT,
    )


def refuse_after_marker(view: NoCluster) -> Answer:
    """Wait where the marker says that the cluster was created once, although no peer runs it."""
    if not view.seen.marker:
        return None
    return Wait(
        code="S1-cluster-was-created",
        reason="created-marker exists, no peer runs etcd: etcd has 0 members registered; must issue restore-backup command to proceed",
        hint=_RESTORE_HINT,
    )


def start_founding_members(view: NoCluster) -> Answer:
    """Tell the founding members that were not told yet; the record makes the repetition harmless."""
    formation = _open_formation(view.seen)
    if formation is None:
        return None
    untold = tuple(p.id for p in view.seen.peers if p.id in formation.members and p.holds is Holding.EMPTY)
    return StartMembers(formation=formation, peers=untold) if untold else None


def seal_formation(view: NoCluster) -> Answer:
    """Write the marker once every founding member has persisted that it belongs to the cluster."""
    formation = _open_formation(view.seen)
    if formation is None:
        return None
    told = {p.id for p in view.seen.peers if _belongs(p, formation.token)}
    absent = [m for m in formation.members if m not in told]
    if absent:
        return Wait(code="formation-incomplete", reason=f"founding members not heard of: {', '.join(absent)}", hint="start their managers")
    return SealFormation(formation=formation)


def need_spec(view: NoCluster) -> Answer:
    """Wait for the spec; kops writes it on every `update cluster`."""
    if view.seen.spec is None:
        return Wait(
            code="no-cluster-spec",
            reason=view.seen.spec_problem or "no cluster spec set - must seed new cluster",
            hint="etcd-manager-ctl configure-cluster, or kops update cluster",
        )
    if view.seen.spec.member_count < 1:
        return Wait(code="empty-cluster-spec", reason="the cluster spec asks for no members", hint="set memberCount to 1, 3 or 5")
    return None


def need_all_peers(view: NoCluster) -> Answer:
    """Wait until enough peers answer, and every known one: who does not answer may hold the data."""
    wanted = view.seen.spec.member_count if view.seen.spec else 1
    absent = view.seen.absent
    if absent:
        return Wait(
            code="formation-waits-for-peers",
            reason="; ".join(f"{a.id} does not answer since {a.since:%H:%M:%S}Z ({a.reason})" for a in absent),
            hint="start its manager, or take it out of the configured peers",
        )
    if len(view.seen.peers) < wanted:
        return Wait(
            code="formation-waits-for-peers",
            reason=f"insufficient peers in our gossip group to build a cluster of size {wanted}: {len(view.seen.peers)} answer",
            hint="start the managers of the other control-plane nodes",
        )
    return None


def need_binaries(view: NoCluster) -> Answer:
    """Wait where a founding member lacks the binaries of the wanted etcd version."""
    spec = view.seen.spec
    if spec is None:
        return None
    lacking = peers_without_version(founding_members(view.seen, spec), spec.etcd_version)
    if not lacking:
        return None
    return Wait(
        code="unknown-etcd-version",
        reason=f"can't act as leader for unknown etcd version {spec.etcd_version}: no binaries on {', '.join(lacking)}",
        hint="install them, or change etcdVersion in the cluster spec",
    )


def decide_formation(view: NoCluster) -> Answer:
    """Write down the founding members: the first of the sorted peer ids. The refusals above have all passed."""
    spec = view.seen.spec
    if spec is None:
        return None
    return DecideFormation(members=tuple(p.id for p in founding_members(view.seen, spec)), spec=spec)


def founding_members(seen: ClusterView, spec: ClusterSpec) -> tuple[Peer, ...]:
    """Return the peers that would found the cluster; deterministic, where Go takes them in random map order (B-41)."""
    return tuple(sorted(seen.peers, key=lambda p: p.id))[: spec.member_count]


def peers_without_version(peers: tuple[Peer, ...], wanted: str) -> tuple[str, ...]:
    """Return the ids of the peers that have no binaries of the version `wanted`; a Go manager says so only when it is told to use them."""
    version = Version.parse(wanted)
    return tuple(p.id for p in peers if p.is_ours and version not in p.versions)


def _open_formation(seen: ClusterView) -> Formation | None:
    """Return the formation that is still to be finished."""
    return seen.formation if formation_is_open(seen) else None


def _belongs(peer: Peer, token: str) -> bool:
    """Return whether the peer was told to found the cluster of that token."""
    return peer.holds is Holding.CLUSTER and token != "" and peer.cluster_token == token


def _what(peer: Peer) -> str:
    """Return what stands in the way on a peer, in words."""
    return f"cluster {peer.cluster_token}" if peer.holds is Holding.CLUSTER else "data or trash of an earlier cluster"
