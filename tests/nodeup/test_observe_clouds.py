"""The facts that planners need of clouds with small metadata services."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from agents.errors import TransientError
from nodeup.facts import AzureFacts, CloudFacts, OtherCloudFacts
from nodeup.facts_file import parse_facts
from nodeup.observe import ask_network, remembered_network
from tests.fakes.host import FakeHost

NETWORKS = """\
- ip: 10.1.0.9
  interface_num: 2
- ip: 10.0.0.9
  alias_ips: []
  interface_num: 1
  network_name: nodes
"""


@dataclass(frozen=True, slots=True)
class FakeMetadata:
    values: Mapping[str, str]

    def get(self, path: str) -> str | None:
        return self.values.get(path)


@pytest.mark.parametrize(
    ("cloud", "values", "facts"),
    [
        ("azure", {"instance/compute?format=json": json.dumps({"resourceId": "/s/x"})}, AzureFacts(resource_id="/s/x")),
        ("digitalocean", {"interfaces/private/0/ipv4/address": "10.0.0.2"}, OtherCloudFacts(private_ipv4="10.0.0.2")),
        ("hetzner", {"private-networks": NETWORKS}, OtherCloudFacts(private_ipv4="10.0.0.9")),
        ("linode", {"label": "nodes-1"}, OtherCloudFacts(label="nodes-1")),
        ("openstack", {"meta-data/local-ipv4": "10.0.0.3"}, OtherCloudFacts(private_ipv4="10.0.0.3")),
        ("scaleway", {}, OtherCloudFacts()),
    ],
)
def test_what_a_cloud_says_is_remembered_for_plans(cloud: str, values: Mapping[str, str], facts: CloudFacts) -> None:
    host = FakeHost()

    assert ask_network(host, cloud, FakeMetadata(values)).cloud == facts
    assert remembered_network(host, cloud).cloud == facts


@pytest.mark.parametrize(
    ("cloud", "values", "missing"),
    [
        ("aws", {"placement/region": "r", "placement/availability-zone": "ra"}, "instance-id"),
        ("gce", {"instance/name": "n"}, "instance/hostname"),
        ("digitalocean", {}, "interfaces/private/0/ipv4/address"),
        ("hetzner", {}, "private-networks"),
        ("hetzner", {"private-networks": "[]"}, "private-networks"),
        ("hetzner", {"private-networks": "- {ip: 10.1.0.9, interface_num: 2}"}, "private-networks"),
        ("linode", {}, "label"),
    ],
)
def test_a_service_that_does_not_know_yet_what_a_name_is_made_of_is_waited_for(cloud: str, values: Mapping[str, str], missing: str) -> None:
    host = FakeHost()

    with pytest.raises(TransientError, match=missing):
        ask_network(host, cloud, FakeMetadata(values))

    assert host.changes == []


def test_azures_facts_can_be_given_by_hand() -> None:
    assert parse_facts('{"azure": {"resource_id": "/s/x"}}', where="f").network.cloud == AzureFacts(resource_id="/s/x")


def test_azure_without_a_resource_id_is_asked_again() -> None:
    with pytest.raises(TransientError, match="resourceId"):
        ask_network(FakeHost(), "azure", FakeMetadata({}))
