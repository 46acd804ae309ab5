"""What a static pod of etcd-manager says, read back into values: flags, variables, and where etcd's binaries come from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agents.documents import as_list, as_mapping, as_str, load_json, load_yaml
from agents.errors import SpecError
from nodeup.spec.section import Section

_PREFIX = "etcd-manager-"
_BINARY_MOUNT = re.compile(r"/opt/etcd-v(\d+\.\d+\.\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdImage:
    """An image that holds etcd, and the versions for which kops mounts it: its own, and all earlier patches of the minor."""

    reference: str
    #: Ascending, without a leading v.
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticNode:
    """A node that `--static-config` names. `addresses` may hold host names: kops writes what the instance group says."""

    id: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticConfig:
    """The version and all nodes of a cluster that does not learn them from its backup store (kops: on metal)."""

    etcd_version: str
    nodes: tuple[StaticNode, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdManifest:
    """One etcd cluster's manager."""

    #: kops' name: "main", "events", "cilium", "leases".
    cluster: str
    #: By name without dashes; a flag that is given several times is a list. In the manifest's order.
    flags: Mapping[str, str | list[str]]
    environment: Mapping[str, str]
    images: tuple[EtcdImage, ...]
    #: Where kops has etcd's log on the host.
    log_file: str
    #: None where the version and the members are decided in the backup store.
    static: StaticConfig | None

    def flag(self, name: str) -> str:
        """Return a flag that is given once; "" where it is not."""
        value = self.flags.get(name, "")
        return value if isinstance(value, str) else value[-1]

    def repeated_flag(self, name: str) -> tuple[str, ...]:
        """Return all values of a flag, in order."""
        value = self.flags.get(name, [])
        return (value,) if isinstance(value, str) else tuple(value)


def read_etcd_manifest(content: bytes, *, where: str) -> EtcdManifest:
    """Read a manifest that kops wrote; SpecError where it is not one of etcd-manager."""
    pod = Section("", as_mapping(load_yaml(content, where=where), where=where))
    label = pod.section("metadata").section("labels").text("k8s-app")
    containers = pod.section("spec").sections("containers")
    if not label.startswith(_PREFIX) or not containers:
        raise SpecError(f"{where}: wanted a pod labelled k8s-app: {_PREFIX}<cluster>, found {label!r}")
    container = containers[0]
    flags = _flags(container.texts("args"))
    return EtcdManifest(
        cluster=label.removeprefix(_PREFIX),
        flags=flags,
        environment={variable.text("name"): variable.text("value") for variable in container.sections("env") if variable.has("value")},
        images=tuple(_images(pod.section("spec"), container)),
        log_file=_log_file(pod.section("spec")),
        static=_static(flags.get("static-config", ""), where=f"{where}: --static-config"),
    )


def _flags(arguments: tuple[str, ...]) -> dict[str, str | list[str]]:
    """Collect "--name=value"; a flag without a value is "true", and what is no flag (the program) is passed over."""
    collected: dict[str, list[str]] = {}
    for argument in arguments:
        if argument.startswith("-"):
            name, equals, value = argument.lstrip("-").partition("=")
            collected.setdefault(name, []).append(value if equals else "true")
    return {name: values[0] if len(values) == 1 else values for name, values in collected.items()}


def _static(text: str | list[str], *, where: str) -> StaticConfig | None:
    if not text:
        return None
    document = as_mapping(load_json(as_str(text, where=where), where=where), where=where)
    nodes = [as_mapping(node, where=f"{where}: nodes") for node in as_list(document.get("nodes") or [], where=f"{where}: nodes")]
    return StaticConfig(
        etcd_version=as_str(document.get("etcdVersion"), where=f"{where}: etcdVersion"),
        nodes=tuple(_static_node(node, where=f"{where}: nodes") for node in nodes),
    )


def _static_node(node: Mapping[str, object], *, where: str) -> StaticNode:
    addresses = as_list(node.get("ip") or [], where=f"{where}: ip")
    return StaticNode(
        id=as_str(node.get("id"), where=f"{where}: id"), addresses=tuple(as_str(one, where=f"{where}: ip") for one in addresses)
    )


def _images(spec: Section, container: Section) -> Iterator[EtcdImage]:
    versions: dict[str, list[str]] = {}
    for mount in container.sections("volumeMounts"):
        match = _BINARY_MOUNT.fullmatch(mount.text("mountPath"))
        if match:
            versions.setdefault(mount.text("name"), []).append(match[1])
    for volume in spec.sections("volumes"):
        reference = volume.section("image").text("reference")
        if reference and volume.text("name") in versions:
            ordered = sorted(versions[volume.text("name")], key=lambda text: tuple(map(int, text.split("."))))
            yield EtcdImage(reference=reference, versions=tuple(ordered))


def _log_file(spec: Section) -> str:
    found = [volume.section("hostPath").text("path") for volume in spec.sections("volumes") if volume.text("name") == "varlogetcd"]
    return found[0] if found else ""
