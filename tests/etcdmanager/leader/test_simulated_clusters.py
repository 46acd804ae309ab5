"""What becomes of whole clusters under the leader's rules, in the simulated world."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from etcdmanager.control.commands import BackupRequest
from etcdmanager.control.member_requests import MemberRequest, MemberVerb
from etcdmanager.leader import actions as a
from etcdmanager.leader.decide import decide
from etcdmanager.leader.view import Absent, Peer, Twins
from tests.simulator.world import Disk, World, fresh_world, queue_restore, running_world


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_blank_peers_form_one_cluster_that_serves(count: int) -> None:
    world = fresh_world(count)
    world.settle()
    assert world.formed == ["token-1"]
    assert world.marker
    assert world.open_to_clients() == ["token-1"]
    assert len(world.serving("token-1")) == count


def test_the_first_backup_is_taken_right_after_formation() -> None:
    world = fresh_world()
    world.settle()
    assert len(world.backups) == 1


def test_a_surplus_peer_is_not_in_the_new_cluster() -> None:
    world = fresh_world(4, wanted=3)
    world.settle()
    assert sorted(d.id for d in world.serving("token-1")) == ["etcd-a", "etcd-b", "etcd-c"]


@pytest.mark.parametrize("cut", range(6))
def test_a_formation_that_loses_its_leader_anywhere_is_finished_by_the_next(cut: int) -> None:
    for dying_round in range(4):
        world = fresh_world()
        for _ in range(dying_round):
            world.round()
        world.round(cut_after=cut)
        world.settle()
        assert world.formed == ["token-1"], "one incarnation only"
        assert len(world.serving("token-1")) == 3


def test_no_cluster_is_formed_while_a_known_peer_is_away() -> None:
    world = fresh_world()
    world.disks["etcd-c"].up = False
    decision = world.settle()
    assert isinstance(decision.action, a.Wait)
    assert decision.action.code == "formation-waits-for-peers"
    assert world.formed == []


def test_trash_on_one_peer_prevents_a_new_cluster() -> None:
    world = fresh_world()
    world.disks["etcd-b"].trash.append("old")
    decision = world.settle()
    assert isinstance(decision.action, a.Wait)
    assert decision.action.code == "S1-peer-holds-data"


def test_a_created_cluster_is_never_created_again() -> None:
    world = running_world()
    for disk in world.disks.values():
        disk.token = ""
    decision = world.settle()
    assert isinstance(decision.action, a.Wait)
    assert decision.action.code == "S1-cluster-was-created"
    assert world.formed == ["token-1"]


def test_a_lost_marker_over_a_living_cluster_is_written_again() -> None:
    world = running_world()
    world.marker = False
    world.settle()
    assert world.marker
    assert world.formed == ["token-1"]
    assert world.contents["token-1"] == "written"


def test_a_left_over_formation_never_founds_a_member_again_whose_disk_was_lost() -> None:
    """With its old identity and without its log it could vote for what it had voted against."""
    world = fresh_world()
    while world.formation is None:
        world.round()
    left_over = world.formation
    world.settle()
    world.formation = left_over
    world.settle()

    world.marker = False
    world.disks["etcd-b"].token = ""
    world.history.clear()
    for _ in range(60):
        world.round()

    assert "start_founding_members" not in world.history
    assert "remove_lost_member" in world.history
    assert len(world.serving("token-1")) == 3


def test_a_lost_marker_and_blank_disks_form_nothing_while_backups_exist() -> None:
    world = running_world()
    world.marker = False
    for disk in world.disks.values():
        disk.token = ""
    decision = world.settle()
    assert isinstance(decision.action, a.Wait)
    assert decision.action.code == "S1-backups-exist"


def test_backups_come_once_per_interval_whoever_leads() -> None:
    world = running_world()
    began = world.now
    while world.now - began < timedelta(hours=1):
        world.succeed()
        world.round()
    taken = [b for b in world.backups if b.taken_at > began]
    assert len(taken) == 4


def test_a_clock_that_was_wrong_for_one_backup_does_not_end_all_others() -> None:
    world = running_world()
    world.skew = timedelta(days=3650)
    world.requests.append(BackupRequest(id="r1", requested_by="me", requested_at=world.now))
    world.settle()
    world.skew = timedelta()
    world.succeed()
    before, began = len(world.backups), world.now
    while world.now - began < timedelta(hours=1):
        remarks = world.round().remarks
    assert 3 <= len(world.backups) - before <= 4
    assert "backup-from-the-future" in {r.code for r in remarks}


@pytest.mark.parametrize("skew", [timedelta(days=365), timedelta(days=-365)])
def test_members_whose_clocks_stay_wrong_are_backed_up_as_often_as_others(skew: timedelta) -> None:
    world = running_world()
    world.skew = skew
    before, began = len(world.backups), world.now
    while world.now - began < timedelta(hours=1):
        world.round()
    assert 3 <= len(world.backups) - before <= 4


def test_a_requested_backup_is_taken_at_once_and_answered() -> None:
    world = running_world()
    world.requests.append(BackupRequest(id="r1", requested_by="me", requested_at=world.now))
    before = len(world.backups)
    world.settle()
    assert len(world.backups) == before + 1
    assert world.requests == []


def test_a_restore_brings_the_backup_back_and_names_the_undo() -> None:
    world = running_world()
    command = queue_restore(world)
    world.settle()
    token = world.open_to_clients()[0]
    assert world.contents[token] == "backed up"
    assert len(world.serving(token)) == 3
    undo = world.receipts[command.name].pre_restore_backup
    assert world.backup_contents[undo] == "written"
    assert world.queue == []


def test_a_restore_takes_its_steps_in_the_order_of_the_drawing() -> None:
    world = running_world()
    queue_restore(world)
    world.settle()
    steps = [r for i, r in enumerate(world.history) if r and (i == 0 or world.history[i - 1] != r)]
    assert [s for s in steps if s != "verify_restored"][:7] == [
        "claim_restore",
        "prepare_restore",
        "fence_old_cluster",
        "pass_point_of_no_return",
        "commit_restore",
        "lift_restored",
        "finish_restore",
    ]


@pytest.mark.parametrize("cut", range(4))
def test_a_restore_that_loses_its_leader_anywhere_is_finished_by_the_next_and_done_once(cut: int) -> None:
    for dying_round in range(16):
        world = running_world()
        queue_restore(world)
        for _ in range(dying_round):
            world.round()
        world.round(cut_after=cut)
        world.settle()
        tokens = world.open_to_clients()
        assert len(tokens) == 1
        assert world.contents[tokens[0]] == "backed up"
        assert len(world.receipts) == 1
        assert not any(d.quarantined for d in world.disks.values())


def test_a_restore_of_an_unknown_backup_changes_nothing() -> None:
    world = running_world()
    command = queue_restore(world, "2020-01-01T00:00:00Z-000001")
    disks = {i: replace(d) for i, d in world.disks.items()}
    world.settle()
    assert world.failed == {command.name: "backup-not-found"}
    assert world.disks == disks


def test_a_backup_that_proves_damaged_while_preparing_is_given_up_and_the_cluster_serves_on() -> None:
    class DamagedError(Exception):
        code = "S2-unverified-backup"
        permanent = True

    world = running_world()
    world.refuse = lambda peer, action: (
        DamagedError("trailer differs") if isinstance(action, a.PrepareRestore) and peer == "etcd-b" else None
    )
    command = queue_restore(world)
    world.settle()
    assert world.failed == {command.name: "S2-unverified-backup"}
    assert world.open_to_clients() == ["token-1"]
    assert not any(d.prepared or d.quarantined for d in world.disks.values())


def test_a_restore_right_after_one_that_was_given_up_is_judged_by_itself() -> None:
    class DamagedError(Exception):
        code = "S2-unverified-backup"
        permanent = True

    world = running_world()
    world.refuse = lambda _, action: DamagedError("trailer differs") if isinstance(action, a.PrepareRestore) else None
    first = queue_restore(world)
    world.settle()
    assert world.failed == {first.name: "S2-unverified-backup"}
    world.refuse = lambda _peer, _action: None
    second = queue_restore(world)
    world.settle()
    assert set(world.failed) == {first.name}
    assert world.receipts[second.name].pre_restore_backup


def test_a_cluster_whose_data_is_damaged_can_be_restored_all_the_same() -> None:
    class DamagedError(Exception):
        code = "snapshot-damaged"
        permanent = True
        damage = True

    world = running_world()
    world.refuse = lambda _, action: DamagedError("trailer differs") if isinstance(action, a.SaveBeforeRestore) else None
    command = queue_restore(world)
    world.settle()
    assert world.receipts[command.name].pre_restore_backup == ""
    assert [world.contents[t] for t in world.open_to_clients()] == ["backed up"]
    assert all("token-1" in d.trash for d in world.disks.values()), "the undo"


def test_an_etcd_that_pauses_for_a_moment_does_not_cost_the_backup_before_a_restore() -> None:
    world = running_world()
    command = queue_restore(world)
    while not all(d.prepared for d in world.disks.values()):
        world.round()
    for disk in world.disks.values():
        disk.starting = 2
    world.settle()
    assert world.backup_contents[world.receipts[command.name].pre_restore_backup] == "written"


def test_a_member_that_vanishes_before_the_point_of_no_return_stops_nothing() -> None:
    world = running_world()
    queue_restore(world)
    world.round()
    world.disks["etcd-c"].up = False
    for _ in range(10):
        world.round()
        assert world.open_to_clients() == ["token-1"], "the old cluster goes on serving"
    world.disks["etcd-c"].up = True
    world.settle()
    assert len(world.receipts) == 1


def test_a_member_that_never_comes_back_ends_the_restore_in_time() -> None:
    world = running_world()
    command = queue_restore(world)
    world.round()
    world.disks["etcd-c"].up = False
    while world.queue:
        world.round()
    assert world.failed == {command.name: "restore-took-too-long"}
    assert world.open_to_clients() == ["token-1"]


def test_a_member_that_was_away_when_a_restore_was_given_up_takes_part_in_the_next_one() -> None:
    """It still has prepared data of the former one, and would prepare nothing else beside it."""
    world = running_world()
    queue_restore(world)
    while not world.disks["etcd-c"].prepared:
        world.round()
    world.disks["etcd-c"].up = False
    while world.queue:
        world.round()
    world.disks["etcd-c"].up = True
    assert world.disks["etcd-c"].prepared

    command = queue_restore(world)
    world.settle()

    assert command.name in world.receipts
    assert [world.contents[t] for t in world.open_to_clients()] == ["backed up"]


def test_what_was_prepared_for_a_command_that_somebody_deleted_is_dropped() -> None:
    world = running_world()
    queue_restore(world)
    while not all(d.prepared for d in world.disks.values()):
        world.round()
    world.queue.clear()
    world.settle()
    assert not any(d.prepared or d.quarantined for d in world.disks.values())
    assert world.open_to_clients() == ["token-1"]


def test_a_member_that_vanishes_after_the_point_of_no_return_is_not_waited_for_for_ever() -> None:
    world = running_world()
    queue_restore(world)
    while not any(q.claim and q.claim.committing_at for q in world.queue):
        world.round()
    world.disks["etcd-c"].up = False
    for _ in range(120):
        world.round()
    tokens = world.open_to_clients()
    assert [world.contents[t] for t in tokens] == ["backed up"]
    world.disks["etcd-c"].up = True
    decision = world.settle()
    assert any(r.code == "other-incarnation" for r in decision.remarks), "its old data is reported, not touched"


def test_a_dead_cluster_is_restored_onto_blank_disks() -> None:
    world = running_world()
    for disk in world.disks.values():
        disk.token = ""
    command = queue_restore(world)
    world.settle()
    token = world.open_to_clients()[0]
    assert world.contents[token] == "backed up"
    assert world.receipts[command.name].pre_restore_backup == ""


def test_a_receipt_prevents_a_replay() -> None:
    world = running_world()
    command = queue_restore(world)
    world.settle()
    token = world.open_to_clients()[0]
    queued = [q for q in world.queue if q.command == command]
    assert queued == []
    world.settle()
    assert world.open_to_clients() == [token]


def test_a_member_whose_disk_comes_back_blank_is_replaced_through_a_learner() -> None:
    world = running_world()
    lost = world.disks["etcd-b"]
    lost.token, lost.member_id = "", 0
    for _ in range(60):
        world.round()
    assert len(world.serving("token-1")) == 3
    assert all(not learner for _, learner in world.clusters["token-1"].values())
    assert world.history.count("remove_lost_member") >= 1


def test_a_blank_twin_never_costs_the_living_member_its_place() -> None:
    world = running_world()
    world.disks["etcd-b"].shadowed = True
    for _ in range(120):
        decision = world.round()
    assert sorted(world.clusters["token-1"]) == ["etcd-a", "etcd-b", "etcd-c"]
    assert "remove_lost_member" not in world.history
    twins = next(r for r in decision.remarks if r.code == "twins")
    assert "https://etcd-b:4001" in twins.reason


def test_managers_that_share_an_id_keep_a_new_cluster_from_being_formed() -> None:
    view = replace(fresh_world().view(), twins=(Twins(id="etcd-b", endpoints=("10.0.0.2:3996", "10.0.0.9:3996")),))
    action = decide(view).action
    assert isinstance(action, a.Wait)
    assert action.code == "twins"
    assert "10.0.0.2:3996 and 10.0.0.9:3996" in action.reason


def test_a_learner_whose_machine_is_gone_makes_room_for_another() -> None:
    world = running_world()
    world.clusters["token-1"].pop("etcd-c")
    world.disks["etcd-c"] = Disk(id="etcd-c", up=False)
    world.clusters["token-1"]["etcd-c"] = (99, True)
    world.disks["etcd-d"] = Disk(id="etcd-d")
    for _ in range(60):
        world.round()
    assert sorted(world.clusters["token-1"]) == ["etcd-a", "etcd-b", "etcd-d"]
    assert len(world.serving("token-1")) == 3


def test_a_member_that_runs_under_another_name_is_not_stopped() -> None:
    view = running_world().view()
    members = tuple(replace(m, name="former-name") if m.name == "etcd-c" else m for m in view.members or ())
    renamed = replace(view, members=members, peers=tuple(_at(p, "https://elsewhere:2380") if p.id == "etcd-c" else p for p in view.peers))
    starting = replace(renamed, peers=tuple(replace(p, etcd=None) if p.id == "etcd-c" else p for p in renamed.peers))
    for seen in (renamed, starting):
        decision = decide(seen)
        assert not isinstance(decision.action, a.StopRemoved)
        assert "unlisted-member" in {r.code for r in decision.remarks}


def test_a_cluster_without_quorum_is_left_alone() -> None:
    world = running_world()
    world.disks["etcd-b"].up = False
    world.disks["etcd-c"].up = False
    decision = world.settle()
    assert isinstance(decision.action, a.Wait)
    assert decision.action.code == "no-quorum"


def test_managers_that_cannot_reach_one_another_are_not_told_to_restore() -> None:
    view = running_world().view()
    alone = replace(
        view,
        peers=tuple(p for p in view.peers if p.id == "etcd-a"),
        absent=tuple(Absent(id=p.id, since=view.now, reason="wrong CA") for p in view.peers if p.id != "etcd-a"),
    )
    action = decide(alone).action
    assert isinstance(action, a.Wait)
    assert action.code == "managers-cut-off"
    assert "etcd-a follows a raft leader" in action.reason
    assert "restore nothing" in action.hint


def test_backups_go_on_while_managers_do_not_reach_one_another() -> None:
    world = running_world()
    for name in ("etcd-b", "etcd-c"):
        world.disks[name].cut_off = True
    before, began = len(world.backups), world.now
    while world.now - began < timedelta(hours=1):
        decision = world.round()
    assert 3 <= len(world.backups) - before <= 4
    assert sorted(world.clusters["token-1"]) == ["etcd-a", "etcd-b", "etcd-c"]
    assert isinstance(decision.action, a.Wait)
    assert decision.action.code == "managers-cut-off"


def test_growing_from_one_to_three_never_adds_a_voter_directly() -> None:
    world = fresh_world(1)
    world.settle()
    grow(world, 3)
    for _ in range(60):
        world.round()
    assert len(world.serving("token-1")) == 3
    assert world.contents["token-1"] == "empty"


def test_shrinking_from_five_to_three_stops_at_three() -> None:
    world = fresh_world(5)
    world.settle()
    assert world.spec is not None
    world.spec = replace(world.spec, member_count=3)
    for _ in range(60):
        world.round()
    assert len(world.clusters["token-1"]) == 3
    assert sorted(d.id for d in world.disks.values() if d.token) == sorted(world.clusters["token-1"])


def test_shrinking_to_one_moves_step_by_step_and_never_costs_the_data() -> None:
    world = running_world()
    assert world.spec is not None
    world.spec = replace(world.spec, member_count=1)
    for _ in range(60):
        world.round()
        assert world.open_to_clients() == ["token-1"]
    assert len(world.clusters["token-1"]) == 1
    assert world.contents["token-1"] == "written"


def test_shrinking_takes_the_members_first_whose_machines_are_gone() -> None:
    world = fresh_world(5)
    world.settle()
    world.disks["etcd-a"].up = world.disks["etcd-b"].up = False
    assert world.spec is not None
    world.spec = replace(world.spec, member_count=3)
    for _ in range(60):
        world.round()
    assert sorted(world.clusters["token-1"]) == ["etcd-c", "etcd-d", "etcd-e"]


def test_a_dead_voter_gives_its_place_to_an_empty_peer_of_another_name_after_five_minutes() -> None:
    world = running_world()
    world.disks["etcd-b"].up = False
    world.disks["etcd-d"] = Disk(id="etcd-d")
    began = world.now
    while "etcd-b" in world.clusters["token-1"]:
        world.round()
        assert world.now - began < timedelta(minutes=10)
    assert world.now - began >= timedelta(minutes=5)
    for _ in range(30):
        world.round()
    assert sorted(world.clusters["token-1"]) == ["etcd-a", "etcd-c", "etcd-d"]
    assert len(world.serving("token-1")) == 3
    world.disks["etcd-b"].up = True
    for _ in range(30):
        world.round()
    assert world.disks["etcd-b"].token == "", "it came back, and is told that it is no member any more"
    assert sorted(world.clusters["token-1"]) == ["etcd-a", "etcd-c", "etcd-d"]


def test_a_dead_voter_keeps_its_place_where_nobody_could_take_it_or_its_etcd_still_answers() -> None:
    world = running_world()
    world.disks["etcd-b"].up = False
    for _ in range(300):
        world.round()
    assert "etcd-b" in world.clusters["token-1"]

    world = running_world()
    world.disks["etcd-b"].cut_off = True
    world.disks["etcd-d"] = Disk(id="etcd-d")
    for _ in range(300):
        world.round()
    assert "etcd-b" in world.clusters["token-1"]


def ask(world: World, verb: MemberVerb, member: str) -> None:
    world.member_requests.append(MemberRequest(id="r1", verb=verb, member=member, requested_by="me", requested_at=world.now))


def test_raft_s_lead_is_moved_where_an_operator_wants_it() -> None:
    world = running_world()
    ask(world, MemberVerb.MOVE_LEADER, "etcd-c")
    world.settle()
    assert world.raft_leader == "etcd-c"
    assert world.member_answers == {"r1": ""}


def test_raft_s_lead_is_not_given_to_a_member_that_does_not_serve() -> None:
    world = running_world()
    world.disks["etcd-c"].up = False
    ask(world, MemberVerb.MOVE_LEADER, "etcd-c")
    world.settle()
    assert world.member_answers == {"r1": "member-does-not-serve"}


def test_a_member_is_removed_on_request_only_where_more_run_than_are_wanted() -> None:
    world = running_world()
    ask(world, MemberVerb.REMOVE, "etcd-b")
    world.settle()
    assert world.member_answers == {"r1": "members-as-wanted"}
    assert "etcd-b" in world.clusters["token-1"]


def test_a_member_is_replaced_on_request_by_an_empty_peer_and_stopped() -> None:
    world = running_world()
    world.disks["etcd-d"] = Disk(id="etcd-d")
    ask(world, MemberVerb.REPLACE, "etcd-b")
    for _ in range(60):
        world.round()
    assert world.member_answers == {"r1": ""}
    assert sorted(world.clusters["token-1"]) == ["etcd-a", "etcd-c", "etcd-d"]
    assert world.disks["etcd-b"].token == ""
    assert len(world.serving("token-1")) == 3


def test_a_member_is_not_replaced_where_that_would_cost_the_quorum_or_nobody_is_free() -> None:
    world = running_world()
    ask(world, MemberVerb.REPLACE, "etcd-b")
    world.settle()
    assert world.member_answers == {"r1": "no-peer-to-add"}

    world = running_world()
    world.disks["etcd-d"] = Disk(id="etcd-d")
    world.disks["etcd-c"].up = False
    ask(world, MemberVerb.REPLACE, "etcd-b")
    for _ in range(10):
        world.round()
    assert world.member_answers == {"r1": "S4-removal-costs-quorum"}


def test_what_is_left_of_a_cluster_without_quorum_can_be_backed_up_from_its_last_member() -> None:
    world = running_world()
    for name in ("etcd-a", "etcd-c"):
        world.disks[name].up = False
    before = len(world.backups)
    world.requests.append(BackupRequest(id="r1", requested_by="me", requested_at=world.now, member="etcd-b"))
    world.settle()
    assert len(world.backups) == before + 1
    assert world.requests == []


def test_a_restore_does_not_wait_for_peers_that_whoever_asked_says_are_gone() -> None:
    world = running_world()
    for name in ("etcd-a", "etcd-c"):
        world.disks[name].up = False
    command = queue_restore(world)
    assert command.spec is not None
    queued = replace(world.queue[0], command=replace(command, spec=replace(command.spec, member_count=1)))
    world.queue[0] = queued
    decision = world.settle()
    assert isinstance(decision.action, a.Wait)
    assert decision.action.code == "absent-peers-could-serve"
    world.queue[0] = replace(queued, gone=("etcd-a", "etcd-c"))
    for _ in range(60):
        world.round()
    assert world.receipts
    assert [world.contents[t] for t in world.open_to_clients()] == ["backed up"]


def grow(world: World, count: int) -> None:
    bigger = fresh_world(count)
    for name, disk in bigger.disks.items():
        world.disks.setdefault(name, disk)
    world.spec = bigger.spec


def _at(peer: Peer, url: str) -> Peer:
    return replace(peer, node=replace(peer.node, peer_urls=(url,)))


@pytest.mark.parametrize("cut", range(3))
def test_a_replacement_that_loses_its_leader_anywhere_is_finished_by_the_next(cut: int) -> None:
    for dying_round in range(12):
        world = running_world()
        world.disks["etcd-d"] = Disk(id="etcd-d")
        ask(world, MemberVerb.REPLACE, "etcd-b")
        for _ in range(dying_round):
            world.round()
        world.round(cut_after=cut)
        for _ in range(80):
            world.round()
            assert world.open_to_clients() == ["token-1"]
        assert sorted(world.clusters["token-1"]) == ["etcd-a", "etcd-c", "etcd-d"]
        assert len(world.serving("token-1")) == 3
        assert world.member_answers == {"r1": ""}
