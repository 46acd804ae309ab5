"""Which instance types EC2 is asked about, and what a plan makes of the answer or of none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents.errors import SpecError
from nodeup.facts import InstanceType, OtherCloudFacts
from nodeup.planners.instance_types import wanted_instance_types
from tests.fakes.plan_context import plan_context

VPC: dict[str, object] = {"Networking": {"nonMasqueradeCIDR": "100.64.0.0/10", "amazonVPC": {}}}
ENI: dict[str, object] = {"Networking": {"nonMasqueradeCIDR": "100.64.0.0/10", "cilium": {"ipam": "eni"}}}
GPU: dict[str, object] = {"containerdConfig": {"nvidiaGPU": {"enabled": True}, "version": "2.3.4"}}


@pytest.mark.parametrize(("config", "wanted"), [({}, ()), (VPC, ("m3.medium",)), (ENI, ("m3.medium",)), (GPU, ("m3.medium",))])
def test_only_types_that_decide_something_are_wanted(config: dict[str, object], wanted: tuple[str, ...]) -> None:
    context = plan_context(config=config)
    assert wanted_instance_types(context.spec, context.facts.cloud) == wanted
    assert wanted_instance_types(context.spec, OtherCloudFacts()) == ()


def test_the_groups_usual_type_stands_in_for_one_that_is_not_said() -> None:
    context = plan_context(config=VPC | {"DefaultMachineType": "m5.large"})
    assert context.aws is not None
    assert wanted_instance_types(context.spec, replace(context.aws, instance_type="")) == ("m5.large",)


def test_a_limit_in_the_configuration_needs_no_type() -> None:
    context = plan_context(config=VPC, kubelet={"maxPods": 30})
    assert wanted_instance_types(context.spec, context.facts.cloud) == ()


def test_gpus_are_where_ec2_says_they_are_and_never_guessed() -> None:
    assert plan_context(config=GPU, instance_type=InstanceType(has_gpu=True, interfaces=1, addresses_per_interface=1)).has_nvidia_gpu
    assert not plan_context().has_nvidia_gpu
    with pytest.raises(SpecError, match="EC2 said nothing") as caught:
        _ = plan_context(config=GPU).has_nvidia_gpu
    assert "--facts" in caught.value.hint


@pytest.mark.parametrize(("cloud", "has"), [("openstack", True), ("gce", False), ("metal", False)])
def test_other_clouds_are_believed_or_have_none(cloud: str, has: bool) -> None:
    assert plan_context(cloud=cloud, config=GPU).has_nvidia_gpu is has
