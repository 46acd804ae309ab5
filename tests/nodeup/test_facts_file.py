"""Files of facts: what operators write for --facts, and what apply remembers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import SpecError
from nodeup.facts import Account, AwsFacts, AzureFacts, GceFacts, InstanceType, Interface, OtherCloudFacts
from nodeup.facts_file import MachineFacts, NetworkFacts, check_cloud, network_facts_text, parse_facts
from nodeup.observe import observe
from tests.fakes.host import FakeHost

MACHINE = """\
hostname: node-1
architecture: arm64
distribution: {id: debian, version: "12"}
interfaces:
- {name: lo, physical: false, addresses: [127.0.0.1/8]}
- {name: ens5, mac: "02:00:00:00:00:01", addresses: [10.0.1.5/24, "2001:db8::5/64"]}
users: [{name: admin, group: admin, home: /home/admin}]
hostnameAddresses: [10.0.1.5]
other: {private_ipv4: 10.0.1.5}
instanceTypes: {m6i.large: {has_gpu: false, interfaces: 3, addresses_per_interface: 10}}
"""


def test_a_file_can_say_everything_that_a_plan_needs_of_another_machine() -> None:
    found = parse_facts(MACHINE, where="facts.yaml")

    facts = observe(FakeHost(), found.network, {}, given=found.machine)

    assert (facts.hostname, facts.architecture, facts.distribution.id) == ("node-1", "arm64", "debian12")
    assert facts.interfaces == (
        Interface(name="lo", mac="", physical=False, addresses=("127.0.0.1/8",)),
        Interface(name="ens5", mac="02:00:00:00:00:01", physical=True, addresses=("10.0.1.5/24", "2001:db8::5/64")),
    )
    assert facts.accounts == (Account(name="admin", group="admin", home="/home/admin"),)
    assert facts.hostname_addresses == ("10.0.1.5",)
    assert facts.cloud == OtherCloudFacts(private_ipv4="10.0.1.5")
    assert facts.instance_types == {"m6i.large": InstanceType(has_gpu=False, interfaces=3, addresses_per_interface=10)}


def test_what_a_file_does_not_say_is_looked_up() -> None:
    assert parse_facts("{}", where="x").machine == MachineFacts()
    assert parse_facts("", where="x").network == NetworkFacts(hostname_addresses=(), cloud=OtherCloudFacts())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("moon: 1", "unknown moon"),
        ("architecture: s390x", "wanted amd64 or arm64, found 's390x'"),
        ("distribution: {id: slackware, version: '15'}", "slackware"),
        ("distribution: debian", "distribution: wanted a mapping"),
        ("interfaces: [{name: a, addresses: [10.0.0]}]", r"interfaces\[0\].addresses"),
        ("interfaces: [{mac: a}]", r"interfaces\[0\]: missing name"),
        ("interfaces: {name: a}", "interfaces: wanted a list"),
        ("users: [root]", r"users\[0\]: wanted a mapping"),
        ("instanceTypes: {m5.large: {has_gpu: no, interfaces: many, addresses_per_interface: 1}}", "instanceTypes.m5.large"),
        ("aws: {region: r}", "aws: missing availability_zone"),
        ("{azure: {resource_id: x}, other: {}}", "azure and other"),
        ("[]", "wanted a mapping"),
    ],
)
def test_facts_that_make_no_sense_are_said_with_their_place(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        parse_facts(text, where="facts.yaml")


@pytest.mark.parametrize(
    ("cloud", "found"),
    [
        ("aws", OtherCloudFacts()),
        ("gce", AzureFacts(resource_id="x")),
        ("hetzner", AzureFacts(resource_id="x")),
        ("azure", OtherCloudFacts()),
    ],
)
def test_facts_of_another_cloud_never_name_a_node(cloud: str, found: AzureFacts | OtherCloudFacts) -> None:
    with pytest.raises(SpecError, match=cloud) as caught:
        check_cloud(NetworkFacts(hostname_addresses=(), cloud=found), cloud, where="facts.yaml")
    assert caught.value.hint.startswith("add ")


@pytest.mark.parametrize(("cloud", "found"), [("metal", OtherCloudFacts()), ("azure", AzureFacts(resource_id="x"))])
def test_facts_of_the_nodes_own_cloud_are_right(cloud: str, found: AzureFacts | OtherCloudFacts) -> None:
    check_cloud(NetworkFacts(hostname_addresses=(), cloud=found), cloud, where="facts.yaml")


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
CLOUDS = st.one_of(
    st.builds(
        AwsFacts, region=TEXTS, availability_zone=TEXTS, instance_id=TEXTS, instance_type=TEXTS, local_ipv4=TEXTS, local_hostname=TEXTS
    ),
    st.builds(GceFacts, project=TEXTS, zone=TEXTS, instance_name=TEXTS, hostname=TEXTS),
    st.builds(AzureFacts, resource_id=TEXTS),
    st.builds(OtherCloudFacts, private_ipv4=TEXTS, label=TEXTS),
)
NUMBERS = st.integers(1, 99)
TYPES = st.dictionaries(
    TEXTS, st.builds(InstanceType, has_gpu=st.booleans(), interfaces=NUMBERS, addresses_per_interface=NUMBERS), max_size=3
)


@given(st.builds(NetworkFacts, hostname_addresses=st.lists(st.ip_addresses().map(str)).map(tuple), cloud=CLOUDS, instance_types=TYPES))
def test_facts_are_read_as_they_were_written(facts: NetworkFacts) -> None:
    assert parse_facts(network_facts_text(facts), where="x").network == facts
