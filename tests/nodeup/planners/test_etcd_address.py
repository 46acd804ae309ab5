"""The address at which a machine's etcd-managers are found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import yaml
from hypothesis import given
from hypothesis import strategies as st

from nodeup.facts import Interface
from nodeup.planners.etcd_address import own_address
from nodeup.spec.etcd_manifest import EtcdManifest, read_etcd_manifest
from tests.fakes.plan_context import plan_context
from tests.nodeup.planners.control_plane import etcd_pod

LOOPBACK = Interface(name="lo", mac="", physical=False, addresses=("127.0.0.1/8", "::1/128"))
BRIDGE = Interface(name="cni0", mac="", physical=False, addresses=("10.244.0.1/24",))
CARD = Interface(name="eth0", mac="", physical=True, addresses=("fe80::1/64", "192.0.2.5/24", "2001:db8::5/64"))
SECOND_CARD = Interface(name="eth1", mac="", physical=True, addresses=("198.51.100.5/24",))


def manifest(*flags: str) -> EtcdManifest:
    return read_etcd_manifest(yaml.safe_dump(etcd_pod("main", *flags)).encode(), where="main.yaml")


def static(**nodes: Sequence[str]) -> EtcdManifest:
    listed = [{"id": name, "ip": list(addresses)} for name, addresses in nodes.items()]
    return manifest("--static-config=" + json.dumps({"etcdVersion": "3.6.12", "nodes": listed}))


def address(
    *interfaces: Interface,
    of: EtcdManifest | None = None,
    cloud: str = "metal",
    private: str = "",
    resolved: Sequence[str] = (),
    cidr: str = "100.64.0.0/10",
) -> str:
    context = plan_context(
        cloud=cloud, role="ControlPlane", interfaces=interfaces, private_ipv4=private, config={"Networking": {"nonMasqueradeCIDR": cidr}}
    )
    return own_address(replace(context, facts=replace(context.facts, hostname_addresses=tuple(resolved))), of or manifest())


def test_the_only_node_has_the_address_that_the_specification_gives() -> None:
    assert address(CARD, of=static(a=["node0", "203.0.113.1"])) == "203.0.113.1"


def test_of_several_nodes_it_is_the_one_whose_address_the_machine_has() -> None:
    three = static(a=["198.51.100.1"], b=["198.51.100.5"], c=["198.51.100.9"])
    assert address(CARD, SECOND_CARD, of=three) == "198.51.100.5"
    assert address(CARD, of=three) == "192.0.2.5"


def test_a_node_named_by_a_host_name_says_nothing_of_its_address() -> None:
    assert address(CARD, of=static(a=["node0"])) == "192.0.2.5"


def test_the_cloud_knows_better_than_the_interfaces() -> None:
    assert address(CARD, cloud="hetzner", private="10.0.0.4") == "10.0.0.4"
    assert address(CARD, cloud="aws") == "172.20.0.7"


def test_openstack_may_be_told_the_network() -> None:
    assert (
        address(CARD, SECOND_CARD, of=manifest("--network-cidr=198.51.100.0/24"), cloud="openstack", private="192.0.2.5") == "198.51.100.5"
    )


def test_of_two_cards_the_hosts_name_chooses() -> None:
    assert address(CARD, SECOND_CARD, resolved=["127.0.1.1", "198.51.100.5"]) == "198.51.100.5"
    assert address(CARD, SECOND_CARD, resolved=["127.0.1.1", "203.0.113.77"]) == "192.0.2.5"


def test_a_bridge_of_containers_is_not_taken_where_there_is_a_card() -> None:
    assert address(LOOPBACK, BRIDGE, CARD) == "192.0.2.5"
    assert address(LOOPBACK, BRIDGE) == "10.244.0.1"


def test_a_cluster_of_ipv6_has_addresses_of_ipv6() -> None:
    assert address(CARD, cidr="::/0") == "2001:db8::5"
    assert address(SECOND_CARD, cidr="::/0") == "198.51.100.5"


def test_a_machine_that_only_has_itself_has_none() -> None:
    assert address(LOOPBACK, replace(CARD, addresses=("fe80::1/64", "169.254.3.4/16"))) == ""


@given(st.permutations([LOOPBACK, BRIDGE, CARD]))
def test_the_order_of_interfaces_decides_nothing_between_unlike_ones(order: list[Interface]) -> None:
    assert address(*order) == "192.0.2.5"
