"""What becomes of clusters whose databases fill up, get holes, or differ, in the simulated world."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from etcdmanager.control.member_requests import MemberRequest, MemberVerb
from etcdmanager.leader import actions as a
from etcdmanager.leader.decide import Decision
from tests.simulator.world import World, running_world

MIB = 1 << 20
NOSPACE = "memberID:1 alarm:NOSPACE "


def full(world: World, *, in_use: int) -> World:
    """Fill every member's database to its quota of 100 MiB."""
    world.quota_bytes = 100 * MIB
    for disk in world.disks.values():
        disk.db_bytes, disk.used_bytes = 100 * MIB, in_use
    world.alarms = [NOSPACE]
    return world


def for_minutes(world: World, minutes: int) -> Decision:
    until = world.now + timedelta(minutes=minutes)
    decision = world.round()
    while world.now < until:
        decision = world.round()
    return decision


def codes(decision: Decision) -> set[str]:
    return {remark.code for remark in decision.remarks}


def test_keys_are_compared_once_an_hour_and_soon_after_a_change_of_leader() -> None:
    world = running_world()
    for_minutes(world, 130)
    assert world.history.count("compare_hashes") == 3
    world.succeed()
    for_minutes(world, 10)
    assert world.history.count("compare_hashes") == 4


def test_a_member_that_holds_other_keys_is_named_with_what_to_do_and_nothing_is_done_to_it() -> None:
    world = running_world()
    world.odd_hashes["etcd-b"] = 8
    decision = for_minutes(world, 70)
    told = next(remark for remark in decision.remarks if remark.code == "members-differ")
    assert "etcd-b" in told.reason
    assert "replace-member etcd-b" in told.hint
    assert len(world.serving("token-1")) == 3


def test_a_difference_that_went_away_is_told_no_longer() -> None:
    world = running_world()
    world.odd_hashes["etcd-b"] = 8
    for_minutes(world, 10)
    world.odd_hashes.clear()
    assert "members-differ" not in codes(for_minutes(world, 10))


def test_no_majority_names_nobody_to_be_replaced() -> None:
    world = running_world()
    world.odd_hashes = {"etcd-a": 1, "etcd-b": 2, "etcd-c": 3}
    told = next(remark for remark in for_minutes(world, 10).remarks if remark.code == "members-differ")
    assert "replace-member" not in told.hint


def test_the_alarm_corrupt_is_told_and_never_cleared() -> None:
    world = running_world()
    world.alarms = ["memberID:2 alarm:CORRUPT "]
    assert "etcd-corrupt" in codes(for_minutes(world, 30))
    assert world.alarms


def test_a_full_database_with_holes_is_defragmented_everywhere_and_then_disarmed() -> None:
    world = full(running_world(), in_use=30 * MIB)
    decision = for_minutes(world, 5)
    assert sorted(world.defragmented) == ["etcd-a", "etcd-b", "etcd-c"]
    assert world.alarms == []
    assert isinstance(decision.action, a.Rest)


def test_raft_leads_from_elsewhere_before_its_leader_is_defragmented_last() -> None:
    world = full(running_world(), in_use=30 * MIB)
    leader = next(d.id for d in world.disks.values() if d.member_id == world.serving(d.token)[0].member_id)
    for_minutes(world, 5)
    assert world.defragmented[-1] == leader


def test_a_full_database_without_holes_is_compacted_at_what_was_new_ten_minutes_ago() -> None:
    world = running_world()
    for_minutes(world, 12)
    world.revision = 5000
    full(world, in_use=100 * MIB).used_after_compaction = 10 * MIB
    for_minutes(world, 5)
    assert world.upkeep.compacted_at == 1, "clients may still watch from what is younger"
    assert world.alarms == []


def test_what_is_wholly_in_use_is_told_with_what_to_do_and_not_disarmed() -> None:
    world = full(running_world(), in_use=99 * MIB)
    decision = for_minutes(world, 30)
    assert {"etcd-nospace", "quota-nearly-reached"} <= codes(decision)
    assert world.alarms == [NOSPACE]
    assert sorted(world.defragmented) == ["etcd-a", "etcd-b", "etcd-c"], "once, after what could be compacted was"


def test_nobody_compacts_where_the_operator_forbade_it() -> None:
    world = running_world()
    world.upkeep = replace(world.upkeep, policy=replace(world.upkeep.policy, may_compact=False))
    for_minutes(world, 12)
    full(world, in_use=99 * MIB).used_after_compaction = 10 * MIB
    assert "etcd-nospace" in codes(for_minutes(world, 5))
    assert world.upkeep.compacted_at == 0


def test_a_file_full_of_holes_is_defragmented_once_a_day_and_members_a_minute_apart() -> None:
    world = running_world()
    for disk in world.disks.values():
        disk.db_bytes, disk.used_bytes = 1000 * MIB, 100 * MIB
    for_minutes(world, 10)
    assert len(world.defragmented) == 3
    at = sorted(when for _, when in world.upkeep.defragmented)
    assert all(later - earlier >= timedelta(minutes=1) for earlier, later in itertools.pairwise(at))
    for disk in world.disks.values():
        disk.db_bytes = 1000 * MIB
    for_minutes(world, 60)
    assert len(world.defragmented) == 3


def test_a_small_file_is_left_alone_whatever_is_in_it() -> None:
    world = running_world()
    for disk in world.disks.values():
        disk.db_bytes, disk.used_bytes = 20 * MIB, MIB
    for_minutes(world, 30)
    assert world.defragmented == []


def test_nobody_is_defragmented_while_a_member_is_away() -> None:
    world = running_world()
    for disk in world.disks.values():
        disk.db_bytes, disk.used_bytes = 1000 * MIB, 100 * MIB
    world.disks["etcd-c"].up = False
    assert "defragmentation-waits" in codes(for_minutes(world, 10))
    assert world.defragmented == []


@pytest.mark.parametrize("seconds", [0, 100])
def test_a_new_leader_defragments_nobody_before_its_predecessors_defragmentation_is_over(seconds: int) -> None:
    world = full(running_world(), in_use=30 * MIB)
    world.tick(timedelta(minutes=10))
    world.succeed()
    world.tick(timedelta(seconds=seconds))
    world.round()
    assert world.defragmented == []


def test_a_disk_that_a_restore_would_not_fit_on_is_told() -> None:
    world = running_world()
    world.disks["etcd-b"].db_bytes = world.disks["etcd-b"].used_bytes = 1000 * MIB
    world.disks["etcd-b"].free_bytes = 2000 * MIB
    told = next(remark for remark in world.round().remarks if remark.code == "S10-disk-nearly-full")
    assert "etcd-b" in told.reason
    assert "etcd-a" not in told.reason


def test_members_that_an_operator_asks_for_are_defragmented_one_by_one_whatever_is_in_them() -> None:
    world = running_world()
    world.tick(timedelta(minutes=3))
    for name in ("etcd-b", "etcd-a"):
        world.member_requests.append(
            MemberRequest(id=f"r-{name}", verb=MemberVerb.DEFRAGMENT, member=name, requested_by="me", requested_at=world.now)
        )
    world.settle()
    assert world.defragmented == ["etcd-b", "etcd-a"]
    assert world.member_requests == []
