"""What a leader never does to a running cluster while it changes versions or tidies up, whatever it sees."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from agents.versions import Version
from etcdmanager.etcd.answers import Member
from etcdmanager.etcd.features import line
from etcdmanager.leader import actions as a
from etcdmanager.leader.decide import decide
from etcdmanager.leader.rules.versions_path import AllowDowngrade, Blocked, ForbidDowngrade, Move, Runner, way_to
from etcdmanager.leader.upkeep import HashComparison, MemberHash, Upkeep
from etcdmanager.leader.view import BackupPolicy, ClusterView, Holding, Peer, Running, phase_of
from etcdmanager.peering.messages import LiveStatus
from etcdmanager.spec import ClusterSpec, EtcdNode
from tests.simulator.world import START

Value = TypeVar("Value")

many = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
VERSIONS = ("3.4.23", "3.5.1", "3.5.16", "3.5.30", "3.6.12", "3.7.0")
versions = st.sampled_from([Version.parse(text) for text in VERSIONS])


IDS = ("etcd-a", "etcd-b", "etcd-c")


def mostly(usual: Value, *others: Value) -> st.SearchStrategy[Value]:
    """Return a strategy of a value that is as usual 39 times in 40."""
    return st.integers(0, 39).flatmap(lambda n: st.sampled_from(others) if n == 0 else st.just(usual))


@st.composite
def statuses(draw: st.DrawFn, index: int, version: str) -> LiveStatus:
    size = draw(st.sampled_from((1 << 20, 400 << 20)))
    return LiveStatus(
        member_id=index + 1,
        cluster_id=7,
        leader_id=draw(mostly(1, 0)),
        raft_index=100_000,
        raft_applied_index=draw(mostly(100_000, 5)),
        raft_term=1,
        revision=100,
        db_size_bytes=size,
        db_in_use_bytes=draw(st.sampled_from((size, size // 4))),
        quota_bytes=draw(mostly(8 << 30, 300 << 20, 0)),
        version=draw(mostly(version, *VERSIONS)),
        errors=draw(mostly((), ("memberID:1 alarm:NOSPACE ",), ("memberID:1 alarm:CORRUPT ",))),
    )


@st.composite
def kept_peers(draw: st.DrawFn, index: int, version: str) -> Peer:
    name = IDS[index]
    asked = draw(mostly(version, *VERSIONS))
    return Peer(
        id=name,
        node=EtcdNode(name=name, peer_urls=(f"https://{name}:2380",)),
        holds=Holding.CLUSTER,
        cluster_token="T",
        quarantined=draw(mostly(False, True)),
        etcd_version=asked,
        versions=draw(mostly(tuple(Version.parse(text) for text in VERSIONS), ())),
        etcd=draw(mostly(True, False).flatmap(lambda up: statuses(index, asked) if up else st.none())),
        state_peer_urls=draw(mostly((f"https://{name}:2380",), (f"https://{name}:9",))),
        disk_free_bytes=draw(mostly(10 << 30, 1)),
    )


@st.composite
def kept_views(draw: st.DrawFn) -> ClusterView:
    """Return a cluster of three in which each single thing is usually well."""
    version = draw(st.sampled_from(VERSIONS))
    peers = tuple(draw(kept_peers(i, version)) for i in range(3))
    hashes = tuple(
        MemberHash(peer=p.id, version=p.etcd.version, hash=draw(mostly(7, 8)), compact_revision=1) for p in peers if p.etcd is not None
    )
    upkeep = Upkeep(
        since=draw(mostly(START - timedelta(hours=2), START)),
        hashes=draw(mostly(HashComparison(at=START, revision=1, hashes=hashes), None)),
        verified_backup_at=draw(mostly(START, START - timedelta(minutes=6), None)),
    )
    members = tuple(
        Member(
            id=i + 1,
            name=name,
            peer_urls=(f"https://{name}:{draw(mostly(2380, 9))}",),
            client_urls=(),
            is_learner=draw(mostly(False, True)),
        )
        for i, name in enumerate(IDS)
    )
    return ClusterView(
        cluster_name="etcd",
        now=START,
        epoch=1,
        peers=peers if draw(mostly(True, False)) else peers[:2],
        absent=(),
        members=members,
        spec=ClusterSpec(member_count=3, etcd_version=draw(st.sampled_from((version, *VERSIONS)))),
        marker=True,
        formation=None,
        queue=(),
        requests=(),
        backups=(),
        expired_backups=(),
        policy=BackupPolicy(interval=timedelta(minutes=15)),
        last_backup=START,
        upkeep=upkeep,
    )


@many
@given(kept_views())
def test_a_member_is_restarted_or_paused_only_while_all_others_serve(view: ClusterView) -> None:
    action = decide(view).action
    event(type(action).__name__)
    if isinstance(action, a.ChangeVersion | a.Defragment):
        phase = phase_of(view)
        assert isinstance(phase, Running)
        serving = {p.node.name for p in phase.healthy}
        assert {m.name for m in view.members or ()} - {action.peer} <= serving


@many
@given(kept_views())
def test_no_version_is_changed_without_a_proven_backup_equal_keys_and_quiet(view: ClusterView) -> None:
    action = decide(view).action
    if isinstance(action, a.ChangeVersion):
        assert view.upkeep.verified_backup_at == START
        assert view.upkeep.hashes is not None or not phase_serves(view, action.peer)
        assert view.alarms == ()
        assert all(not m.is_learner for m in view.members or ())
        assert all(Version.parse(action.to) in p.versions for p in view.configured)


def phase_serves(view: ClusterView, peer_id: str) -> bool:
    peer = view.peer(peer_id)
    return peer is not None and peer.serves


@many
@given(kept_views())
def test_an_alarm_is_cleared_only_where_every_member_has_room(view: ClusterView) -> None:
    action = decide(view).action
    if isinstance(action, a.Disarm):
        assert {raised.alarm.name for raised in action.alarms} == {"NOSPACE"}
        assert all(p.etcd.db_size_bytes < p.etcd.quota_bytes for p in view.configured if p.etcd is not None and p.etcd.quota_bytes)


runners = st.lists(
    st.builds(Runner, peer=st.sampled_from(("a", "b", "c")), asked=versions, runs=st.none() | versions),
    min_size=1,
    max_size=3,
    unique_by=lambda r: r.peer,
)


@many
@given(versions, runners, st.sets(versions))
def test_no_step_takes_a_member_over_two_minors_or_to_3_6_from_before_3_5_26(
    wanted: Version, members: list[Runner], available: set[Version]
) -> None:
    way = way_to(wanted, members, available=sorted(available), cluster=None)
    if isinstance(way, Move):
        for one in members:
            if one.peer in way.peers:
                assert line(way.to)[1] - line(one.version)[1] <= 1
                assert not (line(way.to) == (3, 6) and line(one.version) == (3, 5) and not one.version.at_least(3, 5, 26))


@many
@given(versions, versions, st.integers(1, 5))
def test_whatever_is_there_the_way_ends_at_what_is_wanted_or_says_why_not(wanted: Version, first: Version, count: int) -> None:
    everything = [Version.parse(text) for text in VERSIONS]
    members = [Runner(peer=str(i), asked=first, runs=first) for i in range(count)]
    enabled: Version | None = None
    for _ in range(40):
        way = way_to(wanted, members, available=everything, cluster=min(r.version for r in members))
        match way:
            case None:
                assert all(r.runs == wanted for r in members)
                return
            case Move(to=to, peers=peers):
                assert peers, "everybody is where it was told to be, so somebody is left to be told"
                members = [replace(r, asked=to, runs=to) if r.peer == peers[0] else r for r in members]
            case AllowDowngrade(to=to):
                enabled = to
            case ForbidDowngrade():
                enabled = None
            case Blocked(code=code):
                assert code == "downgrade-needs-restore"
                assert line(wanted) < line(first)
                return
        native = [replace(r, downgrade_target=enabled, storage=enabled) for r in members]
        members = [n if line(r.version) >= (3, 6) else replace(r, downgrade_target=None) for n, r in zip(native, members, strict=True)]
    raise AssertionError(f"never came to {wanted}: {members}")
