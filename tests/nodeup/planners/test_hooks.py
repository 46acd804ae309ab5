"""Hooks: units of operators."""

from __future__ import annotations

import pytest

from agents.errors import SpecError
from nodeup.planners.hooks import hook_unit_names, plan_hooks
from nodeup.resources.unit import Unit
from tests.fakes.plan_context import plan_context


def _units(ig: list[dict[str, object]] | None, cluster: list[dict[str, object]] | None) -> dict[str, Unit]:
    context = plan_context(config={"Hooks": [ig, cluster]})
    return {unit.name: unit for unit in plan_hooks(context) if isinstance(unit, Unit)}


def test_no_hooks_are_no_units() -> None:
    assert _units(None, None) == {}


def test_a_hook_without_a_name_is_numbered_and_says_whose_it_is() -> None:
    hook: dict[str, object] = {"manifest": "Type=oneshot\n"}
    assert set(_units([hook, hook], [hook])) == {"kops-hook-0-ig.service", "kops-hook-1-ig.service", "kops-hook-0.service"}


def test_the_instance_groups_hook_takes_the_name_from_the_clusters() -> None:
    units = _units([{"name": "a.timer", "manifest": "[Timer]\n", "useRawManifest": True}], [{"name": "a.timer", "manifest": "lost"}])
    assert units["a.timer"].definition == "[Timer]\n"


def test_a_manifest_becomes_the_service_section() -> None:
    units = _units(
        [{"name": "x", "manifest": "Type=oneshot\nExecStart=/bin/true\n", "before": ["kubelet.service"], "requires": ["a.target"]}], None
    )
    assert units["x.service"].definition == (
        "[Unit]\nDescription=Kops Hook x\nRequires=a.target\nBefore=kubelet.service\n\n[Service]\nType=oneshot\nExecStart=/bin/true\n"
    )


def test_a_disabled_hook_is_a_unit_that_must_not_run() -> None:
    assert _units([{"name": "off", "enabled": False}], None)["off.service"] == Unit(
        name="off.service", enabled=False, running=False, manage_state=True
    )


def test_a_hook_that_names_nothing_to_run_is_left_out() -> None:
    assert _units([{"name": "empty"}, {"name": "blank", "execContainer": {"image": "  "}}], None) == {}


def test_a_container_is_run_by_ctr_with_its_variables_in_order() -> None:
    container = {"image": "busybox", "command": ["sh", "-c", 'echo "$HOME"'], "environment": {"B": "x y", "A": "1"}}
    definition = _units([{"name": "c", "execContainer": container}], None)["c.service"].definition
    assert definition is not None
    assert "ExecStartPre=/usr/bin/ctr --namespace k8s.io image pull docker.io/library/busybox:latest\n" in definition
    assert ' --net-host --privileged --env A=1 --env "B=x y" docker.io/library/busybox:latest c sh -c "echo \\"$HOME\\""\n' in definition


def test_a_hook_may_take_a_name_that_we_would_use() -> None:
    assert hook_unit_names(plan_context(config={"Hooks": [[{"name": "update-service"}], None]})) == {"update-service.service"}


def test_a_hook_that_is_no_mapping_is_the_operators_to_correct() -> None:
    with pytest.raises(SpecError, match="Hooks"):
        plan_context(config={"Hooks": [["not a mapping"], None]})
