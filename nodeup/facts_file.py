"""Facts as a document: what --facts FILE may say, and what apply remembers for plans (of that, the network's part only).

hostname: node-1                              # of the machine itself, in place of looking
architecture: arm64
distribution: {id: debian, version: "12"}     # ID and VERSION_ID of os-release
interfaces: [{name: ens5, mac: "0a:…", addresses: [10.0.1.5/24]}]
users: [{name: admin, group: admin, home: /home/admin}]
hostnameAddresses: [10.0.1.5]                 # of the network, in place of asking
aws: {region: eu-west-1, …}                   # or gce, azure, other: the fields of nodeup.facts
instanceTypes: {m6i.large: {has_gpu: false, interfaces: 3, addresses_per_interface: 10}}
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from types import MappingProxyType

from agents.documents import as_bool, as_int, as_list, as_mapping, as_str, dump_json, load_yaml
from agents.errors import SpecError
from agents.host.distribution import Distribution, parse_os_release
from nodeup.facts import Account, AwsFacts, AzureFacts, CloudFacts, GceFacts, InstanceType, Interface, OtherCloudFacts

_CLOUDS: Mapping[str, type[AwsFacts | AzureFacts | GceFacts | OtherCloudFacts]] = MappingProxyType(
    {"aws": AwsFacts, "azure": AzureFacts, "gce": GceFacts, "other": OtherCloudFacts}
)
_MACHINE = ("hostname", "architecture", "distribution", "interfaces", "users")
_KNOWN = (*_MACHINE, "hostnameAddresses", "instanceTypes", *_CLOUDS)
_ARCHITECTURES = ("amd64", "arm64")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFacts:
    """The part of the facts that somebody else has to be asked for."""

    hostname_addresses: tuple[str, ...]
    cloud: CloudFacts
    #: By name, as far as EC2 was asked.
    instance_types: Mapping[str, InstanceType] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """The part that the machine says itself; None where the file leaves it to the machine."""

    hostname: str | None = None
    architecture: str | None = None
    distribution: Distribution | None = None
    interfaces: tuple[Interface, ...] | None = None
    accounts: tuple[Account, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenFacts:
    """What a file of facts says."""

    network: NetworkFacts
    machine: MachineFacts


def network_facts_text(facts: NetworkFacts) -> str:
    """Return the network's facts as JSON, in the form of --facts FILE."""
    kind = next(name for name, cloud_type in _CLOUDS.items() if isinstance(facts.cloud, cloud_type))
    document: dict[str, object] = {"hostnameAddresses": list(facts.hostname_addresses), kind: asdict(facts.cloud)}
    if facts.instance_types:
        document["instanceTypes"] = {name: asdict(known) for name, known in facts.instance_types.items()}
    return dump_json(document)


def parse_facts(text: str, *, where: str) -> GivenFacts:
    """Read a file of facts, JSON or YAML; SpecError, with the place, for anything that is none."""
    document = as_mapping(load_yaml(text, where=where), where=where)
    if unknown := sorted(set(document) - set(_KNOWN)):
        raise SpecError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(_KNOWN)}")
    return GivenFacts(network=_network(document, where), machine=_machine(document, where))


def check_cloud(facts: NetworkFacts, cloud: str, *, where: str) -> None:
    """SpecError where facts are of another cloud than the node's, or say nothing of it: they would give the node a wrong name."""
    wanted = cloud if cloud in _CLOUDS else "other"
    if not isinstance(facts.cloud, _CLOUDS[wanted]):
        found = next(name for name, cloud_type in _CLOUDS.items() if isinstance(facts.cloud, cloud_type))
        raise SpecError(
            f"{where}: the node is one of {cloud}; wanted facts of {wanted}, found {'none' if found == 'other' else found}",
            hint=f"add {wanted}: {{{', '.join(one.name for one in fields(_CLOUDS[wanted]) if one.default is MISSING)}}}",
        )


# --- the network


def _network(document: Mapping[str, object], where: str) -> NetworkFacts:
    place = f"{where}: hostnameAddresses"
    addresses = tuple(
        _address(as_str(item, where=place), where=place) for item in as_list(document.get("hostnameAddresses", []), where=place)
    )
    given = [kind for kind in _CLOUDS if kind in document]
    if len(given) > 1:
        raise SpecError(f"{where}: facts of {' and '.join(given)}; a machine is in one cloud")
    types = as_mapping(document.get("instanceTypes"), where=f"{where}: instanceTypes")
    return NetworkFacts(
        hostname_addresses=addresses,
        cloud=_cloud(given[0], document[given[0]], f"{where}: {given[0]}") if given else OtherCloudFacts(),
        instance_types={name: _instance_type(entry, f"{where}: instanceTypes.{name}") for name, entry in types.items()},
    )


def _cloud(kind: str, entry: object, where: str) -> CloudFacts:
    cloud_type = _CLOUDS[kind]
    required = [one.name for one in fields(cloud_type) if one.default is MISSING]
    given = _fields(entry, where, required, [one.name for one in fields(cloud_type)])
    return cloud_type(**{name: as_str(value, where=f"{where}.{name}") for name, value in given.items()})


def _instance_type(entry: object, where: str) -> InstanceType:
    names = [one.name for one in fields(InstanceType)]
    given = _fields(entry, where, names, names)
    return InstanceType(
        has_gpu=as_bool(given["has_gpu"], where=f"{where}.has_gpu"),
        interfaces=as_int(given["interfaces"], where=f"{where}.interfaces"),
        addresses_per_interface=as_int(given["addresses_per_interface"], where=f"{where}.addresses_per_interface"),
    )


def _address(text: str, *, where: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        raise SpecError(f"{where}: wanted an IP address, found {text!r}") from error
    return text


# --- the machine


def _machine(document: Mapping[str, object], where: str) -> MachineFacts:
    def text(key: str) -> str | None:
        return as_str(document[key], where=f"{where}: {key}") if key in document else None

    def entries(key: str) -> list[object] | None:
        return as_list(document[key], where=f"{where}: {key}") if key in document else None

    architecture = text("architecture")
    if architecture not in {None, *_ARCHITECTURES}:
        raise SpecError(f"{where}: architecture: wanted {' or '.join(_ARCHITECTURES)}, found {architecture!r}")
    interfaces, users = entries("interfaces"), entries("users")
    return MachineFacts(
        hostname=text("hostname"),
        architecture=architecture,
        distribution=_distribution(document["distribution"], f"{where}: distribution") if "distribution" in document else None,
        interfaces=None
        if interfaces is None
        else tuple(_interface(entry, f"{where}: interfaces[{index}]") for index, entry in enumerate(interfaces)),
        accounts=None if users is None else tuple(_account(entry, f"{where}: users[{index}]") for index, entry in enumerate(users)),
    )


def _distribution(entry: object, where: str) -> Distribution:
    given = _fields(entry, where, ("id", "version"), ("id", "version"))
    name, version = (as_str(given[key], where=f"{where}.{key}") for key in ("id", "version"))
    return parse_os_release(f"ID={name}\nVERSION_ID={version}\n")


def _interface(entry: object, where: str) -> Interface:
    given = _fields(entry, where, ("name",), ("name", "mac", "physical", "addresses"))
    addresses = [as_str(one, where=f"{where}.addresses") for one in as_list(given.get("addresses"), where=f"{where}.addresses")]
    for address in addresses:
        try:
            ipaddress.ip_interface(address)
        except ValueError as error:
            raise SpecError(f"{where}.addresses: wanted an address such as 10.0.1.5/24, found {address!r}") from error
    return Interface(
        name=as_str(given["name"], where=f"{where}.name"),
        mac=as_str(given.get("mac", ""), where=f"{where}.mac"),
        physical=as_bool(given.get("physical", True), where=f"{where}.physical"),
        addresses=tuple(addresses),
    )


def _account(entry: object, where: str) -> Account:
    names = ("name", "group", "home")
    given = _fields(entry, where, names, names)
    name, group, home = (as_str(given[key], where=f"{where}.{key}") for key in names)
    return Account(name=name, group=group, home=home)


def _fields(entry: object, where: str, required: list[str] | tuple[str, ...], known: list[str] | tuple[str, ...]) -> dict[str, object]:
    given = as_mapping(entry, where=where)
    if unknown := sorted(set(given) - set(known)):
        raise SpecError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    if missing := [name for name in required if name not in given]:
        raise SpecError(f"{where}: missing {', '.join(missing)}")
    return given
