"""Asking a cloud on loopback, as apply does, and what a plan makes of the memory of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from agents.errors import SpecError
from nodeup.asking import asked_facts, facts_of_file, prefix_finder, remembered_facts
from nodeup.facts import InstanceType, OtherCloudFacts
from nodeup.spec.node import NodeSpec
from tests.fakes.ec2 import FakeEc2
from tests.fakes.host import FakeHost
from tests.fakes.plan_context import plan_context
from tests.support.http import Answer, HttpServer, Request, http_server

MAC = "02:00:00:00:00:01"
VALUES = {
    "placement/region": "eu-west-1",
    "placement/availability-zone": "eu-west-1a",
    "instance-id": "i-0abc",
    "instance-type": "g5.xlarge",
    "local-ipv4": "10.0.1.5",
    "mac": MAC,
    f"network/interfaces/macs/{MAC}/interface-id": "eni-1",
}
TYPES = {"g5.xlarge": (4, 15, ("NVIDIA",))}
VPC = {"Networking": {"nonMasqueradeCIDR": "100.64.0.0/10", "amazonVPC": {}}}
GPU = {"containerdConfig": {"nvidiaGPU": {"enabled": True}, "version": "2.3.4"}}


def imds(request: Request) -> Answer:
    if request.path == "/latest/api/token":
        return Answer(body=b"token")
    value = VALUES.get(request.path.removeprefix("/latest/meta-data/"))
    return Answer(status=404) if value is None else Answer(body=value.encode())


class Cloud:
    """Both services, and the variables that lead to them."""

    def __init__(self, metadata: HttpServer, api: HttpServer, ec2: FakeEc2) -> None:
        self.api = api
        self.ec2 = ec2
        self.environment: Mapping[str, str] = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url, "AWS_ENDPOINT_URL_EC2": api.url}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    ec2 = FakeEc2(types=TYPES)
    with http_server(imds) as metadata, http_server(ec2) as api:
        yield Cloud(metadata, api, ec2)


def spec(config: Mapping[str, object], kubelet: Mapping[str, object] | None = None) -> NodeSpec:
    return plan_context(config=config, kubelet=kubelet).spec


@pytest.mark.parametrize("config", [VPC, GPU, VPC | GPU], ids=["pods", "gpu", "both"])
def test_ec2_is_asked_once_about_the_machines_own_type_and_remembered(cloud: Cloud, config: Mapping[str, object]) -> None:
    host = FakeHost()

    asked = asked_facts(host, spec(config), cloud.environment)

    assert asked.network.instance_types == {"g5.xlarge": InstanceType(has_gpu=True, interfaces=4, addresses_per_interface=15)}
    assert len(cloud.api.requests) == 1
    assert remembered_facts(host, spec(config)) == asked


@pytest.mark.parametrize("node", [spec({}), spec(VPC, {"maxPods": 30})], ids=["no network plugin of AWS", "maxPods said"])
def test_ec2_is_not_asked_where_its_answer_decides_nothing(cloud: Cloud, node: NodeSpec) -> None:
    asked_facts(FakeHost(), node, cloud.environment)

    assert cloud.api.requests == []


def test_a_prefix_is_assigned_to_the_primary_interface(cloud: Cloud) -> None:
    facts = asked_facts(FakeHost(), spec({}), cloud.environment).network.cloud

    find = prefix_finder(facts, FakeHost(), cloud.environment)

    assert find is not None
    assert find() == "2001:db8:0:1::/80"
    assert list(cloud.ec2.prefixes) == ["eni-1"]


def test_outside_of_aws_there_is_nobody_to_ask_for_a_prefix() -> None:
    assert prefix_finder(OtherCloudFacts(), FakeHost(), {}) is None


@pytest.mark.parametrize("content", [None, b"\xff", b"gce: {project: p, zone: z, instance_name: n, hostname: h}"])
def test_a_file_of_facts_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "facts.yaml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SpecError, match=r"facts\.yaml"):
        facts_of_file(path, spec({}))
