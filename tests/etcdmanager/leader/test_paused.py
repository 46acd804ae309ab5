from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from etcdmanager.control.commands import RestoreCommand
from etcdmanager.control.pause import Pause
from etcdmanager.leader import actions as a
from etcdmanager.leader.decide import decide
from etcdmanager.leader.paused import may_while_paused
from etcdmanager.leader.view import ClusterView, Queued
from etcdmanager.spec import ClusterSpec
from tests.etcdmanager.leader.views import BACKUPS, views
from tests.simulator.world import START, queue_restore, running_world

PAUSE = Pause(until=START + timedelta(hours=1), by="root@cp-a", since=START, reason="INC-1")
#: What begins something, by name: the allow-list must not grow over it.
BEGINS_SOMETHING = (
    a.DecideFormation
    | a.ClaimRestore
    | a.RejectCommand
    | a.AddLearner
    | a.RemoveMember
    | a.DeleteBackups
    | a.ChangeVersion
    | a.EnableDowngrade
    | a.CancelDowngrade
    | a.Defragment
    | a.Compact
    | a.Disarm
    | a.CompareHashes
    | a.MoveRaftLeader
)


@given(views())
def test_nothing_is_begun_while_paused(view: ClusterView) -> None:
    found = decide(replace(view, pause=PAUSE))

    assert may_while_paused(found.action, found.rule)
    assert not isinstance(found.action, BEGINS_SOMETHING)


@given(views())
def test_every_decision_while_paused_tells_until_when_and_why(view: ClusterView) -> None:
    found = decide(replace(view, pause=PAUSE))
    told = [one for one in (found.action, *found.remarks) if isinstance(one, a.Wait | a.Remark) and one.code == "paused"]

    assert len(told) == 1
    assert "root@cp-a until 2026-01-01T01:00:00Z (INC-1)" in told[0].reason


@given(views())
def test_a_pause_that_is_over_changes_nothing(view: ClusterView) -> None:
    assert decide(replace(view, pause=replace(PAUSE, until=view.now))) == decide(view)


@given(views())
def test_what_is_allowed_anyway_is_done_as_without_a_pause(view: ClusterView) -> None:
    free = decide(view)
    if free.phase != "restoring" and not view.queue and may_while_paused(free.action, free.rule):
        paused = decide(replace(view, pause=PAUSE))

        assert (paused.action, paused.rule) == (free.action, free.rule)


def test_a_queued_restore_waits_and_backups_go_on() -> None:
    world = running_world(3)
    world.settle()
    command = RestoreCommand(name="c", backup=BACKUPS[0], spec=ClusterSpec(member_count=3, etcd_version="3.5.16"), queued_at=START)
    view = replace(world.view(), queue=(Queued(command=command),), backups=(), last_backup=None, pause=None)
    held = decide(replace(view, pause=replace(PAUSE, until=view.now + timedelta(hours=1))))

    assert isinstance(held.action, a.TakeBackup)
    assert f"held back: restore of {BACKUPS[0]}" in held.remarks[0].reason


@pytest.mark.parametrize("rounds", range(1, 16))
def test_a_restore_that_was_claimed_before_the_pause_is_finished_in_it(rounds: int) -> None:
    world = running_world(3)
    world.settle()
    command = queue_restore(world)
    for _ in range(rounds):
        world.round()
    begun = any(queued.claim is not None for queued in world.queue) or command.name in world.receipts
    world.pause = replace(PAUSE, until=world.now + timedelta(days=1))
    world.settle()

    assert (command.name in world.receipts) == begun
    assert not [disk.id for disk in world.disks.values() if disk.quarantined]


def test_a_member_that_is_lost_is_replaced_when_the_pause_is_over_and_not_before() -> None:
    world = running_world(3)
    world.settle()
    world.pause = replace(PAUSE, until=world.now + timedelta(minutes=30))
    world.disks["etcd-c"].token = ""
    world.disks["etcd-c"].member_id = 0
    before = dict(world.clusters)
    while world.now < world.pause.until - timedelta(minutes=1):
        world.round()
        world.tick(timedelta(minutes=2))
    assert {token: sorted(rows) for token, rows in world.clusters.items()} == {token: sorted(rows) for token, rows in before.items()}
    assert not [line for line in world.history if "remove" in line.lower()]

    world.now = world.pause.until
    world.settle(200)

    assert len(world.serving(world.disks["etcd-a"].token)) == 3
