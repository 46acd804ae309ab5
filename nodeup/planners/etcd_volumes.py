"""Where protokube finds the volume of an etcd member, by what kops' manifest says.

kops tells etcd-manager by which tags a cloud volume is found, and on metal by which prefix of a directory's name. Naming
a machine's disks is not said here: an operator does it in a drop-in of protokube's own configuration (docs/contracts.md).
"""

from __future__ import annotations

from nodeup.spec.etcd_manifest import EtcdManifest

#: Where external volumes are mounted beforehand; a directory there holds its data in "mnt".
_EXTERNAL = "/mnt/disks"

Document = dict[str, object]


def volume_of(manifest: EtcdManifest, backup_store: str) -> Document:
    """Return one entry of protokube's volumes."""
    place = _external(manifest) if manifest.flag("volume-provider") in {"", "external"} else _of_cloud(manifest)
    return {"etcdCluster": manifest.cluster, **place, "backupStore": backup_store}


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
    nodes = manifest.static.nodes if manifest.static is not None else ()
    name = nodes[0].id if len(nodes) == 1 else ""
    directory = f"{_EXTERNAL}/{name}" if name else f"{_EXTERNAL}/{manifest.flag('volume-tag')}*"
    return {"memberName": name, "find": {"directory": directory}, "mountPoint": f"{directory}/mnt" if name else "", "allowFormat": False}
