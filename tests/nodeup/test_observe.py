from __future__ import annotations

import pytest

from agents.errors import SpecError
from nodeup.facts import Account, AwsFacts, GceFacts, OtherCloudFacts
from nodeup.facts_file import NetworkFacts, network_facts_text, parse_facts
from nodeup.observe import (
    NETWORK_FACTS,
    ask_network,
    observe,
    remembered_network,
)
from tests.fakes.host import FakeHost

FILES = {
    "/etc/os-release": b'ID=ubuntu\nVERSION_ID="24.04"\n',
    "/etc/passwd": b"root:x:0:0:root:/root:/bin/bash\nubuntu:x:1000:1001::/home/ubuntu:/bin/bash\nbroken\n",
    "/etc/group": b"root:x:0:\nusers:x:1001:ubuntu\n",
    "/proc/sys/kernel/hostname": b"cp-a\n",
    "/etc/fstab": b"/dev/vda1 / ext4 defaults 0 1\n",
    "/run/systemd/resolve/resolv.conf": b"",
    "/proc/self/mountinfo": b"30 1 0:28 / /sys/fs/bpf rw shared:9 - bpf bpf rw\n",
    "/sys/fs/bpf/x": b"",
    "/run/cilium/cgroupv2/x": b"",
}
NONE = NetworkFacts(hostname_addresses=(), cloud=OtherCloudFacts())
AWS = AwsFacts(
    region="eu-west-1",
    availability_zone="eu-west-1a",
    instance_id="i-0abc",
    instance_type="m6i.large",
    local_ipv4="10.0.1.5",
    local_hostname="ip-10-0-1-5",
)


class FakeMetadata:
    """A metadata service with these values."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    def get(self, path: str) -> str | None:
        return self.values.get(path)


def test_the_machine_is_seen_as_it_is() -> None:
    host = FakeHost(FILES)

    facts = observe(host, NONE, {"AWS_REGION": "x"})

    assert facts.distribution.id == "ubuntu2404"
    assert facts.accounts == (Account(name="root", group="root", home="/root"), Account(name="ubuntu", group="users", home="/home/ubuntu"))
    assert facts.existing_paths == {"/run/systemd/resolve/resolv.conf"}
    assert facts.filesystems == {"/sys/fs/bpf": "bpf", "/run/cilium/cgroupv2": "other"}
    assert facts.hostname == "cp-a"
    assert facts.fstab.startswith("/dev/vda1")
    assert facts.environment == {"AWS_REGION": "x"}
    assert any(address.startswith("127.0.0.1/8") for interface in facts.interfaces for address in interface.addresses)
    assert host.changes == []


def test_a_distribution_that_is_not_supported_is_said() -> None:
    with pytest.raises(SpecError, match="not supported"):
        observe(FakeHost({"/etc/os-release": b"ID=slackware\n"}), NONE, {})


def test_what_the_metadata_service_says_is_remembered_for_plans() -> None:
    host = FakeHost(FILES)
    values = {"placement/region": "eu-west-1", "placement/availability-zone": "eu-west-1a", "instance-id": "i-0abc"}
    values |= {"instance-type": "m6i.large", "local-ipv4": "10.0.1.5", "local-hostname": "ip-10-0-1-5"}

    asked = ask_network(host, "aws", FakeMetadata(values))

    assert asked.cloud == AWS
    assert remembered_network(host, "aws") == asked
    stat = host.stat(NETWORK_FACTS)
    assert stat is not None
    assert stat.mode == 0o600


def test_a_zone_of_gce_is_its_last_part() -> None:
    values = {"instance/zone": "projects/1/zones/us-east1-b", "project/project-id": "p", "instance/name": "n", "instance/hostname": "n.c.p"}

    asked = ask_network(FakeHost(FILES), "gce", FakeMetadata(values))

    assert asked.cloud == GceFacts(project="p", zone="us-east1-b", instance_name="n", hostname="n.c.p")


def test_a_plan_does_not_guess_what_a_cloud_would_say() -> None:
    with pytest.raises(SpecError, match="a plan asks nobody") as caught:
        remembered_network(FakeHost(FILES), "aws")

    assert "--facts" in caught.value.hint


def test_a_machine_without_a_cloud_is_planned_from_its_own_hosts_file() -> None:
    host = FakeHost({**FILES, "/etc/hosts": b"127.0.0.1 localhost\n10.9.8.7 cp-a # me\n10.9.8.7 cp-a\n"})

    assert remembered_network(host, "metal").hostname_addresses == ("10.9.8.7",)


@pytest.mark.parametrize(
    "cloud",
    [AWS, GceFacts(project="p", zone="z", instance_name="n", hostname="h"), OtherCloudFacts(private_ipv4="10.0.0.1")],
    ids=lambda c: type(c).__name__,
)
def test_facts_are_written_as_they_are_read(cloud: AwsFacts | GceFacts | OtherCloudFacts) -> None:
    facts = NetworkFacts(hostname_addresses=("10.0.0.1", "fe80::1"), cloud=cloud)

    assert parse_facts(network_facts_text(facts), where="x").network == facts


@pytest.mark.parametrize("text", ["[]", "aws: {region: x}", "aws: {moon: x}", "hostnameAddresses: 5", "{"])
def test_facts_that_make_no_sense_are_an_error_of_whoever_wrote_them(text: str) -> None:
    with pytest.raises(SpecError):
        parse_facts(text, where="facts.yaml")


@pytest.mark.parametrize(
    ("lists", "missing"),
    [
        ({}, set()),
        ({"modules.dep": b"kernel/net/netfilter/nf_tables.ko.xz: kernel/x.ko\n"}, {"nf_conntrack", "ip_set"}),
        ({"modules.builtin": b"kernel/net/nf-conntrack.ko\n", "modules.dep": b"kernel/ip_set.ko:\nkernel/nf_tables.ko:\n"}, set()),
    ],
    ids=["no lists", "some", "all"],
)
def test_modules_that_the_kernel_lacks_are_those_of_none_of_its_lists(lists: dict[str, bytes], missing: set[str]) -> None:
    modules = {f"/lib/modules/6.1.0-1/{name}": content for name, content in lists.items()}
    host = FakeHost({**FILES, "/proc/sys/kernel/osrelease": b"6.1.0-1\n", **modules})

    facts = observe(host, NONE, {})

    assert (facts.kernel_release, facts.missing_kernel_modules) == ("6.1.0-1", missing)
