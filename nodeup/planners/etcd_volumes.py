"""Where protokube finds the volume of an etcd member: what the manifest says, or an operator's file says better.

kops tells etcd-manager by which tags a cloud volume is found, and on metal by which prefix of a directory's name. An
operator names disks in a file asset of the cluster specification (`/etc/node-agents/volumes.yaml`, docs/contracts.md).
"""

from __future__ import annotations

import base64
import binascii

from agents.documents import as_list, as_mapping, as_str, load_json, load_yaml
from agents.errors import SpecError
from nodeup.planners.context import PlanContext
from nodeup.spec.etcd_manifest import EtcdManifest

#: The file asset in which an operator says where volumes are.
OVERRIDES = "/etc/node-agents/volumes.yaml"

#: Where external volumes are mounted beforehand; a directory there holds its data in "mnt".
_EXTERNAL = "/mnt/disks"

_FIELDS = frozenset({"etcdCluster", "memberName", "find", "mountPoint", "allowFormat"})
_WAYS = frozenset({"path", "label", "uuid", "serial", "directory", "image"})

Document = dict[str, object]


def volume_of(context: PlanContext, manifest: EtcdManifest, backup_store: str) -> Document:
    """Return one entry of protokube's volumes."""
    defaults = _external(manifest) if manifest.flag("volume-provider") in {"", "external"} else _of_cloud(manifest)
    chosen = defaults | _override(context, manifest.cluster)
    return {"etcdCluster": manifest.cluster, **chosen, "backupStore": backup_store}


def _of_cloud(manifest: EtcdManifest) -> Document:
    """A volume of the cloud: the member's name is in a tag, and the provider knows the device."""
    find = {
        "cloud": manifest.flag("volume-provider"),
        "tags": list(manifest.repeated_flag("volume-tag")),
        "nameTag": manifest.flag("volume-name-tag"),
    }
    return {"memberName": "", "find": find, "mountPoint": "", "allowFormat": True}


def _external(manifest: EtcdManifest) -> Document:
    """A directory that the operator mounted: that of the only node, or the only one with the prefix."""
    members = _static_members(manifest)
    prefix = manifest.flag("volume-tag")
    name = members[0] if len(members) == 1 else ""
    directory = f"{_EXTERNAL}/{name}" if name else f"{_EXTERNAL}/{prefix}*"
    return {"memberName": name, "find": {"directory": directory}, "mountPoint": f"{directory}/mnt" if name else "", "allowFormat": False}


def _static_members(manifest: EtcdManifest) -> tuple[str, ...]:
    text = manifest.flag("static-config")
    if not text:
        return ()
    where = "--static-config"
    nodes = as_list(as_mapping(load_json(text, where=where), where=where).get("nodes") or [], where=where)
    return tuple(as_str(as_mapping(node, where=where).get("id"), where=where) for node in nodes)


def _override(context: PlanContext, cluster: str) -> Document:
    """Return what the operator says of a cluster's volume; SpecError for what protokube would not understand."""
    for entry in _overrides(context):
        if entry.get("etcdCluster") != cluster:
            continue
        if unknown := set(entry) - _FIELDS:
            raise SpecError(f"{OVERRIDES}: unknown field {', '.join(sorted(unknown))}; known are {', '.join(sorted(_FIELDS))}")
        find = as_mapping(entry.get("find"), where=f"{OVERRIDES}: find")
        if len(find) != 1 or not set(find) <= _WAYS:
            raise SpecError(f"{OVERRIDES}: find of {cluster} wants exactly one of {', '.join(sorted(_WAYS))}, found {sorted(find)}")
        # A volume that is named outright is not the directory of the default any more.
        return {"mountPoint": ""} | {key: value for key, value in entry.items() if key != "etcdCluster"}
    return {}


def _overrides(context: PlanContext) -> tuple[Document, ...]:
    for asset in context.spec.file_assets:
        if asset.text("path") == OVERRIDES:
            content = _decoded(asset.text("content")) if asset.boolean("isBase64") else asset.text("content")
            document = as_mapping(load_yaml(content, where=OVERRIDES), where=OVERRIDES)
            entries = as_list(document.get("volumes") or [], where=f"{OVERRIDES}: volumes")
            return tuple(as_mapping(entry, where=f"{OVERRIDES}: volumes") for entry in entries)
    return ()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise SpecError(f"file asset {OVERRIDES}: its content is not base64: {error}") from error
