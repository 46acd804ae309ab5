"""Observing the machine and its cloud into Facts. This looks and changes nothing; what follows from it planners decide.

Facts that need a network (cloud metadata, the resolver) are asked for by `apply` only, and remembered in a file, so
that `plan` and `verify` ask nobody:

    apply    metadata service, resolver  ──► Facts, and NETWORK_FACTS on disk
    plan     --facts FILE, else NETWORK_FACTS, else what the machine's own files say
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

from agents.clouds.protocol import Metadata
from agents.errors import SpecError, TransientError
from agents.host.distribution import parse_os_release
from agents.host.protocol import Host
from agents.host.reading import text_if_there
from nodeup.assets.cache import architecture
from nodeup.bootstrap.azure import resource_id
from nodeup.facts import (
    KERNEL_MODULES_ASKED_FOR,
    MOUNT_POINTS_ASKED_FOR,
    PATHS_ASKED_FOR,
    Account,
    AwsFacts,
    AzureFacts,
    CloudFacts,
    Facts,
    GceFacts,
    InstanceType,
    Interface,
    OtherCloudFacts,
)
from nodeup.facts_file import MachineFacts, NetworkFacts, network_facts_text, parse_facts
from nodeup.resources.mount import mounts
from nodeup.resources.protocol import STATE_DIRECTORY
from nodeup.this_machine import hostname

#: What the last apply learned from the network.
NETWORK_FACTS = f"{STATE_DIRECTORY}/network-facts.json"

#: Asks EC2 about the types that a plan needs, once the machine's own is known.
AskTypes = Callable[[CloudFacts], Mapping[str, InstanceType]]

_NO_MACHINE = MachineFacts()


def observe(host: Host, network: NetworkFacts, environment: Mapping[str, str], *, given: MachineFacts = _NO_MACHINE) -> Facts:
    """Return the facts; `given` takes the place of what would be seen. SpecError on a distribution or architecture not supported."""
    return Facts(
        distribution=given.distribution
        or parse_os_release(text_if_there(host, "/etc/os-release") or text_if_there(host, "/usr/lib/os-release")),
        architecture=given.architecture or architecture(),
        hostname=given.hostname or hostname(host),
        hostname_addresses=network.hostname_addresses,
        interfaces=_interfaces(host) if given.interfaces is None else given.interfaces,
        accounts=_accounts(host) if given.accounts is None else given.accounts,
        existing_paths=frozenset(path for path in PATHS_ASKED_FOR if host.stat(path) is not None),
        filesystems=_filesystems(host),
        kernel_release=_kernel_release(host),
        missing_kernel_modules=_missing_kernel_modules(host),
        fstab=text_if_there(host, "/etc/fstab"),
        environment=dict(environment),
        cloud=network.cloud,
        instance_types=network.instance_types,
    )


def ask_network(host: Host, cloud: str, metadata: Metadata, ask_types: AskTypes = lambda _cloud: {}) -> NetworkFacts:
    """Ask the resolver, the metadata service and EC2, and remember their answers on the machine for plans.

    TransientError where the service does not know what the node's name or address is made of: it will.
    """
    seen = _cloud_facts(cloud, metadata)
    _check_answers(cloud, seen)
    facts = NetworkFacts(hostname_addresses=_resolved(hostname(host)), cloud=seen, instance_types=ask_types(seen))
    host.write(NETWORK_FACTS, network_facts_text(facts).encode(), mode=0o600)
    return facts


def remembered_network(host: Host, cloud: str) -> NetworkFacts:
    """Return what the last apply learned; without one, what a machine without a cloud knows from its own files.

    SpecError for a machine of a cloud on which nothing was applied yet: its metadata must not be guessed.
    """
    text = text_if_there(host, NETWORK_FACTS)
    if text:
        return parse_facts(text, where=NETWORK_FACTS).network
    if cloud != "metal":
        raise SpecError(
            f"nothing is known of this machine's {cloud} metadata yet, and a plan asks nobody",
            code="no-facts",
            hint="give --facts FILE, or run `nodeup apply` on the machine once",
        )
    return NetworkFacts(hostname_addresses=_from_hosts_file(host, hostname(host)), cloud=OtherCloudFacts())


def _check_answers(cloud: str, facts: CloudFacts) -> None:
    """Never name a node after its host's name because the metadata service was not ready."""
    match facts:
        case AwsFacts():
            needed = {
                "placement/region": facts.region,
                "placement/availability-zone": facts.availability_zone,
                "instance-id": facts.instance_id,
            }
        case GceFacts():
            needed = {"instance/hostname": facts.hostname}
        case OtherCloudFacts() if cloud == "digitalocean":
            needed = {"interfaces/private/0/ipv4/address": facts.private_ipv4}
        case OtherCloudFacts() if cloud == "hetzner":
            needed = {"private-networks (interface 1)": facts.private_ipv4}
        case OtherCloudFacts() if cloud == "linode":
            needed = {"label": facts.label}
        case _:
            needed = {}
    if missing := [path for path, value in needed.items() if not value]:
        raise TransientError(f"the metadata service of {cloud} has no {', '.join(missing)} (yet)", code="no-metadata")


def _cloud_facts(cloud: str, metadata: Metadata) -> CloudFacts:
    """Return what the cloud's metadata service says of the machine, as far as some planner asks for it."""
    match cloud:
        case "aws":
            return _aws_facts(metadata)
        case "gce":
            return GceFacts(
                project=metadata.get("project/project-id") or "",
                zone=(metadata.get("instance/zone") or "").rsplit("/", 1)[-1],
                instance_name=metadata.get("instance/name") or "",
                hostname=metadata.get("instance/hostname") or "",
            )
        case "azure":
            return AzureFacts(resource_id=resource_id(metadata))
        case _:
            return _other_facts(cloud, metadata)


def _other_facts(cloud: str, metadata: Metadata) -> OtherCloudFacts:
    match cloud:
        case "digitalocean":
            return OtherCloudFacts(private_ipv4=metadata.get("interfaces/private/0/ipv4/address") or "")
        case "hetzner":
            return OtherCloudFacts(private_ipv4=_hetzner_private_address(metadata.get("private-networks") or ""))
        case "linode":
            return OtherCloudFacts(label=metadata.get("label") or "")
        case "openstack":
            return OtherCloudFacts(private_ipv4=metadata.get("meta-data/local-ipv4") or "")
        case _:
            return OtherCloudFacts()


def _hetzner_private_address(text: str) -> str:
    """Return the address of interface 1 in Hetzner's list of private networks, which is YAML; "" where there is none."""
    from agents.documents import as_list, as_mapping, load_yaml

    where = "metadata service: private-networks"
    for entry in as_list(load_yaml(text, where=where) or [], where=where):
        network = as_mapping(entry, where=where)
        if network.get("interface_num") == 1:
            return str(network.get("ip", ""))
    return ""


def _aws_facts(metadata: Metadata) -> AwsFacts:
    return AwsFacts(
        region=metadata.get("placement/region") or "",
        availability_zone=metadata.get("placement/availability-zone") or "",
        instance_id=metadata.get("instance-id") or "",
        instance_type=metadata.get("instance-type") or "",
        local_ipv4=metadata.get("local-ipv4") or "",
        local_hostname=metadata.get("local-hostname") or "",
        public_ipv4=metadata.get("public-ipv4") or "",
        ipv6=metadata.get("ipv6") or "",
        mac=metadata.get("mac") or "",
        lifecycle_state=metadata.get("autoscaling/target-lifecycle-state") or "",
    )


def _resolved(name: str) -> tuple[str, ...]:
    """Return what the resolver says of a name, in its order; nothing where it knows none."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _from_hosts_file(host: Host, name: str) -> tuple[str, ...]:
    found = []
    for line in text_if_there(host, "/etc/hosts").splitlines():
        address, *names = line.split("#", 1)[0].split() or [""]
        if name in names:
            found.append(address)
    return tuple(dict.fromkeys(found))


def _interfaces(host: Host) -> tuple[Interface, ...]:
    """Return the interfaces with their addresses in CIDR form, in the system's order."""
    import ipaddress

    import psutil

    found = []
    for name, entries in psutil.net_if_addrs().items():
        mac = next((entry.address for entry in entries if entry.family == psutil.AF_LINK), "")
        addresses = []
        for entry in entries:
            if entry.family == socket.AF_INET and entry.netmask:
                addresses.append(str(ipaddress.IPv4Interface(f"{entry.address}/{entry.netmask}")))
            elif entry.family == socket.AF_INET6 and entry.netmask:
                prefix = ipaddress.IPv6Address(entry.netmask.split("%")[0])
                addresses.append(f"{entry.address.split('%')[0]}/{int(prefix).bit_count()}")
        physical = host.stat(f"/sys/class/net/{name}/device") is not None
        found.append(Interface(name=name, mac=mac, physical=physical, addresses=tuple(addresses)))
    return tuple(found)


def _accounts(host: Host) -> tuple[Account, ...]:
    groups = {fields[2]: fields[0] for fields in _colon_rows(host, "/etc/group", 4)}
    rows = _colon_rows(host, "/etc/passwd", 7)
    return tuple(Account(name=row[0], group=groups.get(row[3], row[3]), home=row[5]) for row in rows)


def _colon_rows(host: Host, path: str, width: int) -> list[list[str]]:
    return [row for line in text_if_there(host, path).splitlines() if len(row := line.split(":")) == width]


def _kernel_release(host: Host) -> str:
    return text_if_there(host, "/proc/sys/kernel/osrelease").strip()


def _missing_kernel_modules(host: Host) -> frozenset[str]:
    """Return those that depmod's lists do not have; none where there are no lists (a container, a directory)."""
    directory = f"/lib/modules/{_kernel_release(host)}"
    lines = [line for name in ("modules.dep", "modules.builtin") for line in text_if_there(host, f"{directory}/{name}").splitlines()]
    known = {line.partition(":")[0].rpartition("/")[2].partition(".ko")[0].replace("-", "_") for line in lines}
    return frozenset(KERNEL_MODULES_ASKED_FOR) - known if known else frozenset()


def _filesystems(host: Host) -> dict[str, str]:
    kinds = {mount.mountpoint: mount.filesystem for mount in mounts(host)}
    named = {"bpf": "bpf", "cgroup2": "cgroup2"}
    return {path: named.get(kinds.get(path, ""), "other") for path in MOUNT_POINTS_ASKED_FOR if host.stat(path) is not None}
