from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import given

from agents.stores.memory import MemoryStore
from etcdmanager.control.history import KEEP, Event, History
from etcdmanager.leader import actions as a
from etcdmanager.leader.decide import decide
from etcdmanager.leader.deeds import deed
from etcdmanager.leader.recorder import Recorder
from etcdmanager.leader.view import ClusterView
from tests.etcdmanager.leader.views import views
from tests.fakes.store_faults import Fault, FaultyStore
from tests.simulator.world import queue_restore, running_world

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NO_TIME = timedelta()


def recorder(history: History) -> Recorder:
    return Recorder(history, "etcd-a", is_leader=lambda: True, now=lambda: NOON)


def told(history: History) -> list[tuple[str, str]]:
    return [(event.what, event.text) for event in history.events()]


@given(views())
def test_every_action_has_words_or_none(view: ClusterView) -> None:
    found = deed(decide(view).action, view)

    assert found is None or (all(found) and "\n" not in found[1])


def test_what_the_leader_did_is_in_the_history_under_its_epoch() -> None:
    history, view = History(MemoryStore()), running_world(3).view()
    pen = recorder(history)
    pen.leads(7)
    pen.done("remove_lost_member", a.RemoveMember(member_id=10, name="etcd-b", why="its disk came back empty"), view, NO_TIME)
    asyncio.run(pen.write_waiting())

    assert told(history) == [("leadership", "etcd-a leads"), ("membership", "removed etcd-b (a): its disk came back empty")]
    assert history.events()[0].by == "etcd-a (epoch 7)"


def test_scheduled_backups_are_no_news_and_requested_ones_are() -> None:
    view = running_world(1).view()

    assert deed(a.TakeBackup(peers=("etcd-a",), why="schedule"), view) is None
    assert deed(a.TakeBackup(peers=("etcd-a",), why="pre-upgrade"), view) == ("backup", "backed up (pre-upgrade)")


def test_a_step_that_is_repeated_until_it_holds_is_told_once() -> None:
    history, view = History(MemoryStore()), running_world(1).view()
    pen = recorder(history)
    for _ in range(3):
        pen.done("lift_quarantine", a.LiftQuarantine(peer="etcd-a"), view, NO_TIME)
    asyncio.run(pen.write_waiting())

    assert told(history) == [("quarantine", "let clients reach etcd-a again")]


def test_what_happens_while_the_store_is_away_is_written_when_it_is_back() -> None:
    memory = MemoryStore()
    away = FaultyStore(memory, Fault(times=1000))
    pen, view = recorder(History(away)), running_world(1).view()
    pen.done("lift_quarantine", a.LiftQuarantine(peer="etcd-a"), view, NO_TIME)

    assert asyncio.run(pen.write_waiting()) < timedelta(minutes=1)
    away.plan.clear()
    asyncio.run(pen.write_waiting())

    assert told(History(memory)) == [("quarantine", "let clients reach etcd-a again")]


def test_of_too_many_events_the_oldest_are_lost() -> None:
    history, view = History(MemoryStore()), running_world(1).view()
    pen = recorder(history)
    for number in range(300):
        pen.done("lift_quarantine", a.LiftQuarantine(peer=f"etcd-{number}"), view, NO_TIME)
    asyncio.run(pen.write_waiting())

    assert len(told(history)) == 200
    assert told(history)[-1] == ("quarantine", "let clients reach etcd-299 again")


def test_old_days_are_forgotten_by_whoever_leads() -> None:
    history = History(MemoryStore())
    history.append(Event(at=NOON - KEEP - timedelta(days=2), by="x", what="y", text="z"))
    asyncio.run(recorder(history).write_waiting())

    assert told(history) == []


def test_a_restore_reads_like_a_story() -> None:
    world = running_world(3)
    world.settle()
    queue_restore(world)
    lines = []
    for _ in range(60):
        view = world.view()
        decision = world.round()
        found = deed(decision.action, view)
        if found is not None and found[0] == "restore":
            lines.append(found[1].split()[0])
        world.tick()

    assert [line for at, line in enumerate(lines) if line not in lines[:at]] == [
        "began",
        "prepared",
        "closed",
        "passed",
        "swapped",
        "restored",
    ]
