"""Any view at all, for properties: most are views that no real cluster would show, and the rules must be safe on them too."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st

from agents.versions import Version
from etcdmanager.control.commands import BackupRequest, Claim, Formation, RestoreCommand
from etcdmanager.etcd.answers import Member
from etcdmanager.leader.view import Absent, Backup, BackupPolicy, ClusterView, Holding, Peer, Probe, Queued, Trouble, Twins
from etcdmanager.peering.messages import LiveStatus
from etcdmanager.spec import ClusterSpec, EtcdNode
from tests.simulator.world import START

IDS = ("etcd-a", "etcd-b", "etcd-c", "etcd-d", "etcd-e")
TOKENS = ("old", "new", "other")
BACKUPS = ("2026-01-01T00:00:00Z-000001", "2026-01-01T00:15:00Z-000001")
RULES = ("claim_restore", "prepare_restore", "save_before_restore", "fence_old_cluster", "periodic_backup", "lift_quarantine")

specs = st.builds(ClusterSpec, member_count=st.integers(0, 5), etcd_version=st.sampled_from(("3.5.16", "3.6.11")))
times = st.integers(-7200, 7200).map(lambda s: START + timedelta(seconds=s))


@st.composite
def statuses(draw: st.DrawFn, index: int) -> LiveStatus | None:
    if draw(st.booleans()):
        return None
    return LiveStatus(
        member_id=index + 1,
        cluster_id=7,
        leader_id=draw(st.integers(0, 5)),
        raft_index=draw(st.integers(0, 9)),
        raft_applied_index=0,
        raft_term=1,
        revision=1,
        db_size_bytes=1,
        is_learner=draw(st.booleans()),
    )


@st.composite
def peers(draw: st.DrawFn, index: int) -> Peer:
    holds = draw(st.sampled_from(Holding))
    runs = holds is Holding.CLUSTER
    return Peer(
        id=IDS[index],
        node=EtcdNode(name=IDS[index], peer_urls=(f"https://{IDS[index]}:2380",)),
        holds=holds,
        cluster_token=draw(st.sampled_from(TOKENS)) if runs else "",
        quarantined=runs and draw(st.booleans()),
        etcd_version="3.5.16" if runs else "",
        versions=draw(st.sampled_from(((), (Version.parse("3.5.16"),)))),
        etcd=draw(statuses(index)) if runs else None,
        prepared_token=draw(st.sampled_from(("", "new"))),
    )


@st.composite
def claims(draw: st.DrawFn, command: str) -> Claim:
    stage = draw(st.integers(0, 3))
    return Claim(
        command=command,
        backup=BACKUPS[0],
        holder="x",
        epoch=draw(st.integers(1, 3)),
        token="new",
        members=tuple(sorted(draw(st.sets(st.sampled_from(IDS), min_size=1)))),
        claimed_at=draw(times),
        saved_at=START if stage > 0 else None,
        committing_at=START if stage > 1 else None,
        verified_at=START if stage > 2 else None,
    )


@st.composite
def queued(draw: st.DrawFn) -> Queued:
    name = f"command-{draw(st.integers(1, 2))}"
    command = RestoreCommand(name=name, backup=draw(st.sampled_from((*BACKUPS, "missing"))), spec=draw(st.none() | specs), queued_at=START)
    return Queued(command=command, claim=draw(st.none() | claims(name)), done=draw(st.integers(0, 9)) == 0)


troubles = st.builds(
    Trouble,
    rule=st.sampled_from(RULES),
    code=st.just("x"),
    message=st.just("x"),
    permanent=st.booleans(),
    damage=st.booleans(),
    since=times,
    last=times,
    count=st.integers(1, 9),
)


@st.composite
def views(draw: st.DrawFn) -> ClusterView:
    present = sorted(draw(st.sets(st.integers(0, 4))))
    away = [i for i in range(5) if i not in present and draw(st.booleans())]
    members = [
        Member(
            id=i + 1,
            name=draw(st.sampled_from((IDS[i], IDS[i], ""))),
            peer_urls=(f"https://{IDS[i]}:2380",),
            client_urls=(),
            is_learner=draw(st.booleans()),
        )
        for i in sorted(draw(st.sets(st.integers(0, 4))))
    ]
    backups = tuple(Backup(name=n, taken_at=draw(times)) for n in BACKUPS if draw(st.booleans()))
    return ClusterView(
        cluster_name="etcd",
        now=START,
        epoch=2,
        peers=tuple(draw(peers(i)) for i in present),
        absent=tuple(Absent(id=IDS[i], since=START, reason="x") for i in away),
        members=draw(st.none() | st.just(tuple(members))),
        spec=draw(st.none() | specs),
        marker=draw(st.booleans()),
        formation=draw(
            st.none()
            | st.builds(
                Formation,
                token=st.sampled_from(TOKENS),
                members=st.sets(st.sampled_from(IDS), min_size=1).map(lambda s: tuple(sorted(s))),
                spec=specs,
                epoch=st.just(1),
                decided_at=st.just(START),
            )
        ),
        queue=tuple(draw(st.lists(queued(), max_size=2))),
        requests=draw(st.sampled_from(((), (BackupRequest(id="r", requested_by="x", requested_at=START),)))),
        backups=backups,
        last_backup=draw(st.none() | times),
        expired_backups=tuple(b.name for b in backups[:-1]),
        policy=BackupPolicy(interval=timedelta(minutes=15)),
        troubles=tuple(draw(st.lists(troubles, max_size=2, unique_by=lambda t: t.rule))),
        unhealthy_since=tuple((m.id, draw(times)) for m in members if draw(st.booleans())),
        probes=tuple(Probe(member_id=m.id, answers_at=draw(st.sampled_from(("", "https://x")))) for m in members if draw(st.booleans())),
        twins=draw(st.sampled_from(((), (), (Twins(id=IDS[1], endpoints=("x:1", "y:1")),)))),
    )


def shuffled(view: ClusterView) -> ClusterView:
    """Return the view with every collection whose order means nothing turned around."""
    return replace(
        view,
        peers=view.peers[::-1],
        absent=view.absent[::-1],
        members=None if view.members is None else view.members[::-1],
        probes=view.probes[::-1],
        unhealthy_since=view.unhealthy_since[::-1],
    )
