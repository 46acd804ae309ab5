"""The prefix of an IPv6-only node's pods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest

from agents.clouds.protocol import InstanceTypeAnswer
from agents.errors import InvariantError, TransientError
from nodeup.engine.context import EngineContext
from nodeup.ipv6_prefix import ensure_ipv6_prefix
from nodeup.resources.cloud import PREFIX_FILE, Ipv6Prefix
from tests.fakes.host import FakeHost
from tests.fakes.run_context import run_context

MAC = "02:00:00:00:00:01"
INTERFACE = f"network/interfaces/macs/{MAC}"


@dataclass(frozen=True, slots=True)
class Metadata:
    values: Mapping[str, str]

    def get(self, path: str) -> str | None:
        return self.values.get(path)


@dataclass(frozen=True, slots=True)
class Ec2:
    asked: list[str] = field(default_factory=list)

    def instance_types(self, names: Iterable[str]) -> Mapping[str, InstanceTypeAnswer]:
        raise NotImplementedError

    def assign_ipv6_prefix(self, interface_id: str) -> str:
        self.asked.append(interface_id)
        return "2001:db8::/80"


def test_a_prefix_that_is_there_is_taken_and_ec2_is_not_asked() -> None:
    metadata = Metadata({"mac": MAC, f"{INTERFACE}/ipv6-prefix": "2001:db8:1::/80\n2001:db8:2::/80"})
    ec2 = Ec2()
    assert ensure_ipv6_prefix(metadata, lambda: ec2) == "2001:db8:1::/80"
    assert ec2.asked == []


def test_without_a_prefix_the_primary_interface_gets_one() -> None:
    ec2 = Ec2()
    assert ensure_ipv6_prefix(Metadata({"mac": MAC, f"{INTERFACE}/interface-id": "eni-1"}), lambda: ec2) == "2001:db8::/80"
    assert ec2.asked == ["eni-1"]


@pytest.mark.parametrize("values", [{}, {"mac": MAC}], ids=["no mac", "no interface"])
def test_a_metadata_service_that_does_not_know_the_interface_is_asked_again(values: dict[str, str]) -> None:
    with pytest.raises(TransientError, match="the metadata service has no"):
        ensure_ipv6_prefix(Metadata(values), Ec2)


def test_a_prefix_is_assigned_once_and_again_for_another_interface() -> None:
    host, asked = FakeHost(), []

    def assign() -> str:
        asked.append("x")
        return "2001:db8::/80"

    context = _with_prefix(run_context(host), assign)
    prefix = Ipv6Prefix(mac=MAC)
    assert prefix.read(host, context) is None
    prefix.apply(host, context, None)
    assert prefix.read(host, context) == prefix
    assert Ipv6Prefix(mac="02:00:00:00:00:02").read(host, context) is None
    assert asked == ["x"]


def test_a_damaged_memory_counts_as_none() -> None:
    host = FakeHost({PREFIX_FILE: b"{"})
    assert Ipv6Prefix(mac=MAC).read(host, run_context(host)) is None


def test_where_nobody_may_be_asked_a_prefix_is_a_bug() -> None:
    host = FakeHost()
    with pytest.raises(InvariantError):
        Ipv6Prefix(mac=MAC).apply(host, run_context(host), None)


def _with_prefix(context: EngineContext, assign: object) -> EngineContext:
    from dataclasses import replace

    assert callable(assign)
    return replace(context, prefix=assign)
