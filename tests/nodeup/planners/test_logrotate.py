"""Rotation of logs."""

from __future__ import annotations

from nodeup.planners.context import Profile
from nodeup.planners.logrotate import plan_logrotate
from nodeup.resources.unit import Unit
from tests.fakes.plan_context import by_id, plan_context, text_of


def test_flatcar_brings_logrotate_and_needs_only_rules_and_a_timer() -> None:
    planned = by_id(plan_logrotate(plan_context(distribution="flatcar")))
    assert "package:logrotate" not in planned
    assert {name for name in planned if name.startswith("unit:")} == {"unit:logrotate.timer"}
    assert "dateformat -%Y%m%d-%s" in text_of(planned.values(), "/etc/logrotate.d/kubelet")


def test_container_optimized_os_rotates_by_itself() -> None:
    assert list(plan_logrotate(plan_context(distribution="containeros"))) == []


def test_ciliums_own_etcd_has_a_log_too() -> None:
    assert "file:/etc/logrotate.d/etcd-cilium" in by_id(plan_logrotate(plan_context(config={"UseCiliumEtcd": True})))


def test_the_timer_survives_a_boot_unless_we_are_to_be_like_kops() -> None:
    ours = by_id(plan_logrotate(plan_context()))["unit:logrotate.timer"]
    theirs = by_id(plan_logrotate(plan_context(profile=Profile.KOPS)))["unit:logrotate.timer"]
    assert isinstance(ours, Unit)
    assert isinstance(theirs, Unit)
    assert "WantedBy=timers.target" in (ours.definition or "")
    assert "WantedBy" not in (theirs.definition or "")
