"""/run/node-agents/volumes/<etcd>.json: how etcd-manager learns where its volume is (schema: docs/contracts.md). Nothing here decides."""

from __future__ import annotations

from agents.documents import as_mapping, as_str, dump_json, load_json
from agents.errors import NotFoundError, SpecError
from agents.host.protocol import Host
from agents.timestamps import format_timestamp, parse_timestamp
from protokube.volumes.view import Publication

API_VERSION = "node-agents/v1"
KIND = "EtcdVolume"
DIRECTORY = "/run/node-agents/volumes"


def path_of(etcd_cluster: str) -> str:
    """Return where the volume of an etcd cluster is published."""
    return f"{DIRECTORY}/{etcd_cluster}.json"


def write_publication(host: Host, publication: Publication) -> None:
    """Publish, atomically."""
    document = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "clusterName": publication.cluster_name,
        "etcdCluster": publication.etcd_cluster,
        "member": publication.member,
        "mountPoint": publication.mount_point,
        "device": publication.device,
        "uuid": publication.uuid,
        "filesystem": publication.filesystem,
        "mountedAt": format_timestamp(publication.mounted_at) if publication.mounted_at else None,
    }
    host.write(path_of(publication.etcd_cluster), dump_json(document).encode(), mode=0o644)


def remove_publication(host: Host, etcd_cluster: str) -> None:
    """Take it back; nothing happens where there is none."""
    host.remove(path_of(etcd_cluster))


def read_publication(host: Host, etcd_cluster: str) -> Publication | None:
    """Return what is published; None for nothing. SpecError for a file that nobody can use."""
    path = path_of(etcd_cluster)
    try:
        content = host.read(path)
    except NotFoundError:
        return None
    document = as_mapping(load_json(content, where=path), where=path)
    if (document.get("apiVersion"), document.get("kind")) != (API_VERSION, KIND):
        raise SpecError(f"{path}: wanted an {KIND} of {API_VERSION}, found {document.get('kind')!r} of {document.get('apiVersion')!r}")
    mounted_at = document.get("mountedAt")

    def text(key: str) -> str:
        return as_str(document.get(key), where=f"{path}: {key}")

    return Publication(
        cluster_name=text("clusterName"),
        etcd_cluster=text("etcdCluster"),
        member=text("member"),
        mount_point=text("mountPoint"),
        device=text("device"),
        uuid=text("uuid"),
        filesystem=text("filesystem"),
        mounted_at=None if mounted_at is None else parse_timestamp(text("mountedAt"), where=f"{path}: mountedAt"),
    )
