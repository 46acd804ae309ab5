"""Clock synchronisation."""

from __future__ import annotations

import pytest

from nodeup.planners.ntp import plan_ntp
from tests.fakes.plan_context import by_id, plan_context, text_of


def test_a_clouds_own_time_source_is_configured_where_there_is_one() -> None:
    assert "\npool 169.254.169.123 prefer iburst\n" in text_of(plan_ntp(plan_context()), "/etc/chrony/chrony.conf")
    assert "\npool time.google.com prefer iburst\n" in text_of(
        plan_ntp(plan_context(cloud="gce", distribution="rocky9")), "/etc/chrony.conf"
    )
    assert set(by_id(plan_ntp(plan_context(cloud="hetzner")))) == {"package:chrony", "unit:chrony"}


@pytest.mark.parametrize("distribution", ["flatcar", "containeros"])
def test_distributions_without_packages_keep_time_themselves(distribution: str) -> None:
    assert list(plan_ntp(plan_context(distribution=distribution))) == []


def test_nothing_is_planned_where_operators_manage_time() -> None:
    assert list(plan_ntp(plan_context(config={"NTPUnmanaged": True}))) == []
