"""Whole plans: what holds for all of them, and how planners are put together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agents.errors import InvariantError, SpecError
from nodeup.planners import check_producers, plan, planned
from nodeup.planners.context import PlanContext, Profile
from nodeup.planners.table import Planner
from nodeup.resources.content import FromResource, Literal
from nodeup.resources.file import Directory, File
from nodeup.resources.kinds import AnyResource
from tests.fakes.plan_context import plan_context


def _planner(builder: str, *resources: AnyResource) -> Planner:
    def made(context: PlanContext) -> Iterator[AnyResource]:
        return iter(resources)

    return Planner(builder, made)


def test_two_planners_may_agree_on_a_resource() -> None:
    both = Directory(path="/srv", mode=0o755)
    assert planned(plan_context(), [_planner("A", both), _planner("B", both)]) == (("A", both),)


def test_two_planners_that_disagree_are_an_error_of_the_specification() -> None:
    one, other = (File(path="/etc/x", content=Literal(text)) for text in (b"1", b"2"))
    with pytest.raises(SpecError, match="file:/etc/x is asked for twice, by FileAssets and by Kubelet"):
        planned(plan_context(), [_planner("FileAssets", one), _planner("Kubelet", other)])


def test_content_from_nowhere_is_a_bug_of_ours() -> None:
    with pytest.raises(InvariantError, match="certificate:gone"):
        check_producers([File(path="/etc/x", content=FromResource("certificate:gone", "cert"))])


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("distribution", ["ubuntu2404", "debian12", "rocky9", "al2023", "flatcar"])
def test_a_worker_asks_kops_controller_for_all_of_its_certificates(profile: Profile, distribution: str) -> None:
    proxy = {"image": "kube-proxy"}
    context = plan_context(distribution=distribution, config={"KubeProxy": proxy})
    ids = {resource.id for resource in plan(context.spec, context.facts, profile)}
    assert {"bootstrap:client", "kubeconfig:kubelet", "kubeconfig:kube-proxy"} <= ids
    assert not any(name.startswith("certificate:") for name in ids)
    assert not any("kubernetes-ca.key" in name for name in ids)
