from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from agents.errors import TransientError
from agents.metrics import Metrics
from etcdmanager.deltas.collect import DeltaNews
from etcdmanager.leader import actions as a
from etcdmanager.leader.decide import decide
from etcdmanager.leader.loop import LeaderNews
from etcdmanager.metrics import LeaderMetrics, define_gauges, names
from etcdmanager.report import Picture
from tests.simulator.world import running_world

DOCS = Path(__file__).resolve().parents[2] / "docs" / "etcd-manager.md"
SECOND = timedelta(seconds=1)


def picture(*, leads: bool) -> Picture:
    world = running_world(3)
    world.settle()
    view = world.view()
    news = LeaderNews(leading=leads, epoch=3, view=view, decision=decide(view))
    return Picture(
        agent="etcd-manager@main",
        now=view.now,
        member=None,
        sights=(),
        lock=None,
        leads=leads,
        news=news,
        backup_interval=timedelta(minutes=15),
        deltas=DeltaNews(),
    )


def scrape(metrics: Metrics) -> dict[str, float]:
    lines = metrics.exposition().content.decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("etcd_manager_")}


def test_gauges_are_zero_before_anything_is_known() -> None:
    metrics = Metrics()
    define_gauges(metrics, lambda: None)

    assert set(scrape(metrics).values()) == {0.0}


def test_only_the_leader_tells_of_the_cluster() -> None:
    for leads, healthy in ((True, 3.0), (False, 0.0)):
        metrics = Metrics()
        define_gauges(metrics, lambda leads=leads: picture(leads=leads))  # type: ignore[misc]
        found = scrape(metrics)

        assert found["etcd_manager_members_healthy"] == healthy
        assert found["etcd_manager_has_quorum"] == float(leads)
        assert found["etcd_manager_is_leader"] == float(leads)


def test_what_a_leader_does_is_counted() -> None:
    metrics, view = Metrics(), running_world(3).view()
    counted = LeaderMetrics(metrics)
    counted.leads(3)
    counted.done("periodic_backup", a.TakeBackup(peers=("a",), why="schedule"), view, SECOND)
    counted.done("delete_expired_backups", a.DeleteBackups(names=("x", "y")), view, SECOND)
    counted.done("remove_lost_member", a.RemoveMember(member_id=1, name="a", why=""), view, SECOND)
    counted.failed("periodic_backup", TransientError("503", code="http-503"))
    counted.failed("", TransientError("away", code="store-away"))
    found = scrape(metrics)

    assert found["etcd_manager_elections_total"] == 1
    assert found['etcd_manager_backups_taken_total{kind="schedule"}'] == 1
    assert found['etcd_manager_backups_failed_total{code="http-503"}'] == 1
    assert found["etcd_manager_retention_deleted_total"] == 2
    assert found['etcd_manager_member_operations_total{operation="remove"}'] == 1
    assert found['etcd_manager_loop_errors_total{code="store-away"}'] == 1
    assert found['etcd_manager_actions_total{action="take-backup"}'] == 1
    assert found['etcd_manager_action_seconds_sum{action="take-backup"}'] == 1


def test_the_page_lists_every_metric() -> None:
    listed = re.findall(r"`(etcd_manager_[a-z_]+)", DOCS.read_text())

    assert sorted(set(listed)) == sorted(set(names()))
