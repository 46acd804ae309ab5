"""protokube's configuration: /etc/node-agents/protokube.yaml, which nodeup writes, and an operator's drop-ins beside it.

    protokube.yaml            what the cluster says           (schema: docs/contracts.md)
    protokube.d/*.yaml        what this machine is like: entries of the same schema, in the order of the files' names

A drop-in's volume replaces, field by field, the volume of the same etcd cluster. It cannot bring a volume that the cluster does not have.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from agents.decode import decode
from agents.documents import as_list, as_mapping, as_str, load_yaml
from agents.errors import NotFoundError, SpecError
from agents.host.protocol import Host

log = logging.getLogger(__name__)

API_VERSION = "node-agents/v1"
KIND = "ProtokubeConfig"
CONFIG = "/etc/node-agents/protokube.yaml"
#: What a drop-in may say; everything else in it would be ignored silently, so it is an error.
_DROP_IN_FIELDS = frozenset({"apiVersion", "kind", "volumes"})


class FindBy(Enum):
    """By what a volume is found."""

    PATH = "path"
    LABEL = "label"
    UUID = "uuid"
    SERIAL = "serial"
    IMAGE = "image"
    DIRECTORY = "directory"
    CLOUD = "cloud"


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """How a volume is found: {path: /dev/vdb}; of a cloud volume the value is the cloud."""

    by: FindBy
    value: str

    def __str__(self) -> str:
        return f"{self.by.value} {self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedVolume:
    """A volume as the configuration wants it. It belongs to one etcd cluster, and a node has at most one of each."""

    cluster_name: str
    etcd_cluster: str
    find: Find
    #: "": whatever the volume itself says (its marker, or the name of its directory).
    member_name: str = ""
    #: "": protokube chooses.
    mount_point: str = ""
    #: Whether a provably blank volume may be formatted.
    allow_format: bool = False
    #: The URL of the etcd cluster's backup store; "": nobody can say whether the cluster had data.
    backup_store: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """A name in /etc/hosts and its addresses."""

    hostname: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtokubeConfig:
    """What protokube does on this node."""

    cluster_name: str
    node_name: str = ""
    role: str = ""
    cloud: str = ""
    volumes: tuple[WantedVolume, ...] = ()
    hosts: tuple[HostRecord, ...] = ()
    #: Credentials and endpoints of stores, over those of the process.
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def load_config(host: Host, path: str = CONFIG) -> ProtokubeConfig:
    """Return the configuration in `path` and its drop-ins; NotFoundError without `path`, SpecError for what is wrong in any of them."""
    directory = f"{path.removesuffix('.yaml')}.d"
    try:
        names = [name for name in host.list(directory) if name.endswith(".yaml")]
    except NotFoundError:
        names = []
    drop_ins = [(f"{directory}/{name}", host.read(f"{directory}/{name}")) for name in names]
    return parse_config(host.read(path), where=path, drop_ins=drop_ins)


def parse_config(text: str | bytes, *, where: str, drop_ins: Sequence[tuple[str, str | bytes]] = ()) -> ProtokubeConfig:
    """Return the configuration in `text`, changed by drop-ins given as (name, text); unknown fields of `text` are only logged."""
    document = _checked(text, where)
    volumes = [as_mapping(one, where=f"{where}: volumes") for one in as_list(document.get("volumes"), where=f"{where}: volumes")]
    for name, content in drop_ins:
        volumes = _overlaid(volumes, _checked(content, name), name)
    decoded = decode(_Document, document | {"volumes": volumes}, where=where)
    if decoded.unknown:
        log.warning("%s: unknown fields are ignored: %s", where, ", ".join(decoded.unknown))
    found = decoded.value
    names = [volume.etcd_cluster for volume in found.volumes]
    if twice := {name for name in names if names.count(name) > 1}:
        raise SpecError(f"{where}: more than one volume for etcd cluster {', '.join(sorted(twice))}")
    return ProtokubeConfig(
        cluster_name=found.cluster_name,
        node_name=found.node_name,
        role=found.role,
        cloud=found.cloud,
        volumes=tuple(_volume(volume, found.cluster_name, where) for volume in found.volumes),
        hosts=found.hosts,
        environment=found.env,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Volume:
    etcd_cluster: str
    find: Mapping[str, object]
    member_name: str = ""
    mount_point: str = ""
    allow_format: bool = False
    backup_store: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    api_version: str
    kind: str
    cluster_name: str
    node_name: str = ""
    role: str = ""
    cloud: str = ""
    volumes: tuple[_Volume, ...] = ()
    hosts: tuple[HostRecord, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def _checked(text: str | bytes, where: str) -> dict[str, object]:
    document = as_mapping(load_yaml(text, where=where), where=where)
    if (document.get("apiVersion"), document.get("kind")) != (API_VERSION, KIND):
        raise SpecError(f"{where}: wanted a {KIND} of {API_VERSION}, found {document.get('kind')!r} of {document.get('apiVersion')!r}")
    return document


def _overlaid(volumes: list[dict[str, object]], drop_in: Mapping[str, object], where: str) -> list[dict[str, object]]:
    """Return the volumes with a drop-in's fields in place of theirs."""
    if unknown := set(drop_in) - _DROP_IN_FIELDS:
        raise SpecError(f"{where}: a drop-in says only {', '.join(sorted(_DROP_IN_FIELDS))}, found {', '.join(sorted(unknown))}")
    result = {as_str(volume.get("etcdCluster"), where=f"{where}: etcdCluster"): volume for volume in volumes}
    for entry in as_list(drop_in.get("volumes"), where=f"{where}: volumes"):
        fields = as_mapping(entry, where=f"{where}: volumes")
        name = as_str(fields.get("etcdCluster"), where=f"{where}: etcdCluster")
        if name not in result:
            raise SpecError(f"{where}: etcd cluster {name!r} is not on this node; it has {', '.join(result) or 'none'}")
        if unknown := set(fields) - {"etcdCluster", "memberName", "find", "mountPoint", "allowFormat", "backupStore"}:
            raise SpecError(f"{where}: unknown field {', '.join(sorted(unknown))} of volume {name}")
        # A volume that is found in another way is not at the place of the former one, either.
        moved: dict[str, object] = {"mountPoint": ""} if "find" in fields else {}
        result[name] = result[name] | moved | fields
    return list(result.values())


def _volume(volume: _Volume, cluster_name: str, where: str) -> WantedVolume:
    where = f"{where}: volume {volume.etcd_cluster}"
    # It names files and directories.
    if not volume.etcd_cluster or not all(letter.isalnum() or letter in "-_" for letter in volume.etcd_cluster):
        raise SpecError(f"{where}: etcdCluster wants letters, digits, '-' and '_', found {volume.etcd_cluster!r}")
    ways = [by for by in FindBy if by.value in volume.find]
    if len(ways) != 1:
        raise SpecError(
            f"{where}: find wants exactly one of {', '.join(by.value for by in FindBy)}, found {', '.join(volume.find) or 'none'}"
        )
    find = Find(by=ways[0], value=as_str(volume.find[ways[0].value], where=f"{where}: find.{ways[0].value}"))
    if find.by in {FindBy.PATH, FindBy.IMAGE, FindBy.DIRECTORY} and not find.value.startswith("/"):
        raise SpecError(f"{where}: find.{find.by.value} wants an absolute path, found {find.value!r}")
    if not find.value:
        raise SpecError(f"{where}: find.{find.by.value} is empty")
    if volume.mount_point and (not volume.mount_point.startswith("/") or volume.mount_point.strip("/") == ""):
        raise SpecError(f"{where}: mountPoint wants an absolute path below /, found {volume.mount_point!r}")
    return WantedVolume(
        cluster_name=cluster_name,
        etcd_cluster=volume.etcd_cluster,
        find=find,
        member_name=volume.member_name,
        mount_point=volume.mount_point.rstrip("/"),
        allow_format=volume.allow_format,
        backup_store=volume.backup_store,
    )
