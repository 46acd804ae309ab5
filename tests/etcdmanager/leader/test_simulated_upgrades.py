"""What becomes of clusters whose version is changed, in the simulated world; the world itself asserts what etcd would not survive."""

from __future__ import annotations

from dataclasses import replace

import pytest

from etcdmanager.leader import actions as a
from etcdmanager.leader.decide import Decision, decide
from tests.simulator.world import World, fresh_world


def running(version: str, *binaries: str, count: int = 3) -> World:
    """Return a settled cluster of `version` with these binaries besides."""
    world = fresh_world(count)
    assert world.spec is not None
    world.spec = replace(world.spec, etcd_version=version)
    for disk in world.disks.values():
        disk.binaries = {version, *binaries}
    world.settle()
    world.history.clear()
    return world


def ask_for(world: World, version: str) -> Decision:
    """Change the spec, and let the leader work until it rests or waits."""
    assert world.spec is not None
    world.spec = replace(world.spec, etcd_version=version)
    return world.settle(150)


def versions(world: World) -> set[str]:
    return {disk.version for disk in world.disks.values()}


def codes(decision: Decision) -> set[str]:
    return {remark.code for remark in decision.remarks}


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_all_members_come_to_the_version_that_is_asked_for(count: int) -> None:
    world = running("3.4.23", "3.5.16", count=count)
    decision = ask_for(world, "3.5.16")
    assert isinstance(decision.action, a.Rest)
    assert decision.remarks == ()
    assert versions(world) == {"3.5.16"}
    assert len(world.restarts) == count, "each member restarts once"


def test_the_raft_leader_comes_last() -> None:
    world = running("3.5.1", "3.5.30")
    leader = next(d.id for d in world.disks.values() if d.member_id == world.serving(d.token)[0].member_id)
    ask_for(world, "3.5.30")
    assert world.restarts[-1] == (leader, "3.5.30")


def test_a_verified_backup_and_equal_hashes_come_before_the_first_change() -> None:
    world = running("3.5.1", "3.5.30")
    world.succeed()
    before = len(world.backups)
    ask_for(world, "3.5.30")
    assert len(world.backups) > before
    assert world.upkeep.hashes is not None


@pytest.mark.parametrize("cut", [0, 1])
def test_a_change_that_loses_its_leader_anywhere_is_finished_by_the_next(cut: int) -> None:
    for dying_round in range(14):
        world = running("3.4.23", "3.5.16")
        assert world.spec is not None
        world.spec = replace(world.spec, etcd_version="3.5.16")
        for _ in range(dying_round):
            world.round()
        world.round(cut_after=cut)
        world.settle(150)
        assert versions(world) == {"3.5.16"}
        assert len(world.restarts) == 3


def test_minors_in_between_are_taken_by_themselves_and_3_6_is_reached_from_3_5_26_or_later_only() -> None:
    world = running("3.4.23", "3.5.16", "3.5.30", "3.6.12")
    ask_for(world, "3.6.12")
    assert versions(world) == {"3.6.12"}
    assert [to for _, to in world.restarts] == ["3.5.30"] * 3 + ["3.6.12"] * 3


def test_a_cluster_on_an_old_3_5_stops_over_at_the_newest_before_3_6() -> None:
    world = running("3.5.16", "3.5.26", "3.5.30", "3.6.12")
    ask_for(world, "3.6.12")
    assert [to for _, to in world.restarts] == ["3.5.30"] * 3 + ["3.6.12"] * 3


def test_without_the_stop_over_it_waits_and_names_what_to_install() -> None:
    world = running("3.5.16", "3.6.12")
    decision = ask_for(world, "3.6.12")
    assert "upgrade-needs-stop-over" in codes(decision)
    assert any("3.5.26" in remark.hint for remark in decision.remarks)
    assert world.restarts == []


def test_a_binary_that_one_peer_lacks_is_waited_for_before_the_first_restart_and_found_when_it_comes() -> None:
    world = running("3.5.16", "3.5.30")
    world.disks["etcd-c"].binaries.discard("3.5.30")
    decision = ask_for(world, "3.5.30")
    assert "upgrade-needs-binaries" in codes(decision)
    assert any("etcd-c" in remark.reason for remark in decision.remarks if remark.code == "upgrade-needs-binaries")
    assert world.restarts == []
    world.disks["etcd-c"].binaries.add("3.5.30")
    world.settle(150)
    assert versions(world) == {"3.5.30"}


def test_a_member_that_does_not_come_up_stops_the_change_and_asking_for_the_old_version_takes_it_back() -> None:
    world = running("3.4.23", "3.5.16")
    world.broken_versions = {"3.5.16"}
    decision = ask_for(world, "3.5.16")
    assert "upgrade-waits-for-member" in codes(decision)
    assert len(world.restarts) == 1
    assert len(world.serving("token-1")) == 2, "the others go on serving"
    decision = ask_for(world, "3.4.23")
    assert versions(world) == {"3.4.23"}
    assert isinstance(decision.action, a.Rest)


def test_an_upgrade_that_is_half_done_can_be_taken_back_while_one_member_runs_the_old_version() -> None:
    world = running("3.4.23", "3.5.16")
    assert world.spec is not None
    world.spec = replace(world.spec, etcd_version="3.5.16")
    while len(world.restarts) < 2:
        world.round()
    ask_for(world, "3.4.23")
    assert versions(world) == {"3.4.23"}


def test_a_patch_is_taken_back_in_place() -> None:
    world = running("3.5.16", "3.5.1")
    ask_for(world, "3.5.1")
    assert versions(world) == {"3.5.1"}


def test_a_finished_3_5_is_never_taken_to_3_4_and_the_way_that_is_left_is_named() -> None:
    world = running("3.5.16", "3.4.23")
    decision = ask_for(world, "3.4.23")
    assert "downgrade-needs-restore" in codes(decision)
    assert any("restore-backup" in remark.hint for remark in decision.remarks)
    assert world.restarts == []
    assert world.downgrades == {}, "3.5's own downgrade hangs, and is never asked for"


def test_3_6_goes_down_by_etcds_own_downgrade() -> None:
    world = running("3.6.12", "3.5.30")
    ask_for(world, "3.5.30")
    assert versions(world) == {"3.5.30"}
    assert world.cluster_versions["token-1"] == (3, 5), "the world lets no 3.5 join before that was enabled"
    assert world.downgrades == {}


def test_a_downgrade_that_is_taken_back_is_cancelled_before_anything_else() -> None:
    world = running("3.6.12", "3.5.30")
    assert world.spec is not None
    world.spec = replace(world.spec, etcd_version="3.5.30")
    while not world.downgrades:
        world.round()
    ask_for(world, "3.6.12")
    assert world.downgrades == {}
    assert versions(world) == {"3.6.12"}


def test_nothing_is_changed_while_members_hold_different_keys() -> None:
    world = running("3.5.16", "3.5.30")
    world.odd_hashes["etcd-b"] = 8
    decision = ask_for(world, "3.5.30")
    assert "members-differ" in codes(decision)
    assert any("etcd-b" in remark.reason for remark in decision.remarks)
    assert world.restarts == []


def test_nothing_is_changed_while_etcd_raises_an_alarm() -> None:
    world = running("3.5.16", "3.5.30")
    world.alarms = ["memberID:1 alarm:CORRUPT "]
    assert "upgrade-waits-for-alarms" in codes(ask_for(world, "3.5.30"))
    assert world.restarts == []


def test_a_full_disk_is_no_place_for_another_version() -> None:
    world = running("3.5.16", "3.5.30")
    for disk in world.disks.values():
        disk.free_bytes = 1 << 20
    assert "upgrade-needs-room" in codes(ask_for(world, "3.5.30"))
    assert world.restarts == []


def test_a_missing_member_holds_the_change() -> None:
    world = running("3.5.16", "3.5.30")
    world.disks["etcd-c"].up = False
    assert world.spec is not None
    world.spec = replace(world.spec, etcd_version="3.5.30")
    for _ in range(10):
        decision = world.round()
    assert "upgrade-waits-for-member" in codes(decision)
    assert world.restarts == []


@pytest.mark.parametrize("cut", [None, 0, 1])
def test_members_move_to_the_peer_urls_of_their_configuration_one_by_one_whoever_leads(cut: int | None) -> None:
    for dying_round in range(8):
        world = running("3.5.16")
        for disk in world.disks.values():
            disk.configured_port = 12380
        for _ in range(dying_round):
            world.round()
        world.round(cut_after=cut)
        decision = world.settle(100)
        assert isinstance(decision.action, a.Rest)
        assert {(d.listed_port, d.listening_port) for d in world.disks.values()} == {(12380, 12380)}


def test_a_peer_url_that_another_member_has_is_not_taken() -> None:
    world = running("3.5.16")
    view = world.view()
    taken = view.peers[0].node.peer_urls
    clash = replace(view, peers=(view.peers[0], replace(view.peers[1], node=replace(view.peers[1].node, peer_urls=taken)), view.peers[2]))
    decision = decide(clash)
    assert "peer-urls-clash" in codes(decision)
    assert not isinstance(decision.action, a.ChangePeerUrls)
