"""What a node asks EC2 for, over a loopback API."""

from __future__ import annotations

import pytest

from agents.clouds.protocol import InstanceTypeAnswer
from agents.clouds.select import ec2_of
from agents.errors import AccessError, TransientError
from tests.fakes.ec2 import FakeEc2
from tests.support.http import http_server


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_types_are_described_and_unknown_ones_are_missing() -> None:
    types = {"m6i.large": (3, 10, ()), "g5.xlarge": (4, 15, ("NVIDIA",)), "g4ad.xlarge": (2, 4, ("AMD",))}
    with http_server(FakeEc2(types=types)) as server:
        found = ec2_of("eu-west-1", {"AWS_ENDPOINT_URL": server.url}).instance_types((*types, "moon.large"))
    assert found == {
        "m6i.large": InstanceTypeAnswer(has_nvidia_gpu=False, interfaces=3, addresses_per_interface=10),
        "g5.xlarge": InstanceTypeAnswer(has_nvidia_gpu=True, interfaces=4, addresses_per_interface=15),
        "g4ad.xlarge": InstanceTypeAnswer(has_nvidia_gpu=False, interfaces=2, addresses_per_interface=4),
    }


def test_one_prefix_is_assigned_and_returned() -> None:
    ec2 = FakeEc2()
    with http_server(ec2) as server:
        assert ec2_of("eu-west-1", {"AWS_ENDPOINT_URL_EC2": server.url}).assign_ipv6_prefix("eni-1") == "2001:db8:0:1::/80"
    assert ec2.prefixes == {"eni-1": ["2001:db8:0:1::/80"]}


def test_a_subnet_without_a_range_is_said() -> None:
    with http_server(FakeEc2(exhausted=True)) as server, pytest.raises(TransientError, match="IPv6 range"):
        ec2_of("eu-west-1", {"AWS_ENDPOINT_URL_EC2": server.url}).assign_ipv6_prefix("eni-1")


@pytest.mark.parametrize(("code", "error"), [("UnauthorizedOperation", AccessError), ("RequestLimitExceeded", TransientError)])
def test_errors_say_who_must_act(code: str, error: type[Exception]) -> None:
    with http_server(FakeEc2(refuses=code)) as server, pytest.raises(error, match=code):
        ec2_of("eu-west-1", {"AWS_ENDPOINT_URL": server.url}).instance_types(("m6i.large",))


def test_an_api_that_cannot_be_reached_may_be_reached_later() -> None:
    with pytest.raises(TransientError, match="describe_instance_types"):
        ec2_of("eu-west-1", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}).instance_types(("m6i.large",))


def test_a_machine_without_a_role_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(AccessError, match="credentials"):
        ec2_of("eu-west-1", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}).instance_types(("m6i.large",))
