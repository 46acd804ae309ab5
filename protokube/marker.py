"""The identity marker of a volume: a small file that says whose etcd data it holds. It is written once and never overwritten.

    <mount point>/.etcd-volume.json

A volume whose marker names another cluster, etcd cluster or member is never used: two disks that changed their places would
otherwise make two members of one (kops#14560, #4350, #11760).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agents.documents import as_int, as_mapping, as_str, dump_json, load_json
from agents.errors import SpecError
from agents.timestamps import format_timestamp, parse_timestamp
from protokube.spec import WantedVolume

NAME = ".etcd-volume.json"
#: Of the marker's document; a volume with a later one was used by a later protokube, which may know better.
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """Whose data a volume holds."""

    cluster_name: str
    etcd_cluster: str
    member_name: str
    volume_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedMarker:
    """There is a marker, and it cannot be read: nobody knows whose data this is."""

    reason: str


def parse_marker(content: bytes, *, where: str) -> Marker | DamagedMarker:
    """Return the marker in `content`."""
    try:
        document = as_mapping(load_json(content, where=where), where=where)
        version = as_int(document.get("formatVersion"), where=f"{where}: formatVersion")
        if version != FORMAT_VERSION:
            return DamagedMarker(reason=f"{where} has formatVersion {version}, known is {FORMAT_VERSION}")
        text = {key: as_str(document.get(key), where=f"{where}: {key}") for key in ("clusterName", "etcdCluster", "memberName", "volumeId")}
        created = parse_timestamp(as_str(document.get("createdAt"), where=f"{where}: createdAt"), where=f"{where}: createdAt")
    except SpecError as error:
        return DamagedMarker(reason=str(error))
    return Marker(
        cluster_name=text["clusterName"],
        etcd_cluster=text["etcdCluster"],
        member_name=text["memberName"],
        volume_id=text["volumeId"],
        created_at=created,
    )


def dump_marker(marker: Marker) -> bytes:
    """Return the marker's file."""
    return dump_json(
        {
            "formatVersion": FORMAT_VERSION,
            "clusterName": marker.cluster_name,
            "etcdCluster": marker.etcd_cluster,
            "memberName": marker.member_name,
            "volumeId": marker.volume_id,
            "createdAt": format_timestamp(marker.created_at),
        }
    ).encode()


def foreignness(marker: Marker | DamagedMarker, wanted: WantedVolume) -> str:
    """Return why a volume with this marker is not the wanted one, or "" if it is."""
    if isinstance(marker, DamagedMarker):
        return marker.reason
    differences = [
        f"{what} {found!r}, wanted {expected!r}"
        for what, found, expected in (
            ("cluster", marker.cluster_name, wanted.cluster_name),
            ("etcd cluster", marker.etcd_cluster, wanted.etcd_cluster),
            ("member", marker.member_name, wanted.member_name or marker.member_name),
        )
        if found != expected
    ]
    return f"its marker {NAME} names {'; '.join(differences)}" if differences else ""
