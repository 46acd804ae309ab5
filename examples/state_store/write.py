"""From an example cluster to the blobs of its state store, in kops' layout."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from agents.errors import RefusedError, SpecError
from agents.pki.keyset import Keyset
from agents.stores.protocol import Store
from agents.versions import Version
from examples.state_store import addons, manifests, spec
from examples.state_store.assets import AssetFile, placeholder_assets
from examples.state_store.cluster import ETCD_CLUSTERS, KOPS_VERSION, Cloud, Cluster, instance_groups
from examples.state_store.keysets import make_keysets
from examples.state_store.nodeup_config import boot_config, dump, nodeup_config
from examples.state_store.stand_ins import stand_in_paths
from nodeup.spec.node import DEPRECATED_TOKENS

#: What kops copies from its own environment into the pods that use the store.
ENVIRONMENT_NAMES = ("AWS_REGION", "S3_ACCESS_KEY_ID", "S3_ENDPOINT", "S3_REGION", "S3_SECRET_ACCESS_KEY")


def example_cluster(  # noqa: PLR0913 - one for each of the program's options
    name: str,
    *,
    base: str,
    now: datetime,
    cloud: Cloud = "metal",
    control_planes: int = 1,
    addresses: Iterable[str] = (),
    kubernetes_version: str = "1.34.0",
    etcd_version: str = "3.5.16",
    assets: Iterable[AssetFile] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Cluster:
    """Return a checked example cluster.

    Without `assets` there are some that exist nowhere: good for `nodeup plan` and `nodeup render`. Of `environment` only what kops
    copies into pods is taken. SpecError for a name that is no DNS name, or when the number of addresses is not that of machines.
    """
    labels = name.split(".")
    if len(labels) < 2 or not all(label and label.replace("-", "a").isalnum() and label == label.lower() for label in labels):
        raise SpecError(f"cluster name {name!r} is no DNS name; wanted something like demo.example.com")
    addresses = tuple(addresses)
    if addresses and len(addresses) != control_planes:
        raise SpecError(f"{len(addresses)} addresses for {control_planes} control-plane machines; wanted one for each, or none")
    kubernetes, etcd = Version.parse(kubernetes_version), Version.parse(etcd_version)
    if assets is None:
        assets = placeholder_assets(stand_in_paths(kubernetes, with_ecr=cloud == "aws", etcd_version=etcd), "https://assets.example.com")
    kept = (asset for asset in assets if cloud == "aws" or not asset.name.startswith("ecr-"))
    environment = environment or {}
    return Cluster(
        name=name,
        base=base.rstrip("/"),
        cloud=cloud,
        instance_groups=instance_groups(cloud, control_planes),
        addresses=addresses,
        kubernetes_version=kubernetes,
        etcd_version=etcd,
        assets=tuple(kept),
        environment=tuple((key, environment[key]) for key in ENVIRONMENT_NAMES if environment.get(key)),
        created=now,
    )


def write_state_store(
    store: Store, cluster: Cluster, *, keysets: Mapping[str, Keyset] | None = None, force: bool = False
) -> dict[str, bytes]:
    """Write everything, and return the boot configuration (kube_env.yaml) of each instance group by its name.

    Keys are fresh unless given. RefusedError where a cluster is stored already and `force` is not set: its keys would be lost.
    """
    if not force and store.exists("config"):
        raise RefusedError(f"{store.url} holds a cluster already, whose keys would be lost", code="state-store-exists", hint="--force")
    keysets = make_keysets(cluster.created) if keysets is None else keysets
    configs = {group.name: dump(nodeup_config(cluster, group, keysets)) for group in cluster.instance_groups}
    for key, content in _blobs(cluster, keysets, configs).items():
        store.write(key, content)
    return {group.name: dump(boot_config(cluster, group, keysets, configs[group.name])) for group in cluster.instance_groups}


def write_boot_configs(directory: Path, boot_configs: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Write <directory>/<instance group>/kube_env.yaml for each group, and return the paths."""
    paths = []
    for name, content in boot_configs.items():
        path = directory / name / "kube_env.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        paths.append(path)
    return tuple(paths)


def _blobs(cluster: Cluster, keysets: Mapping[str, Keyset], configs: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the content of the store by key; `config` is the last, so that a store that has it is complete."""
    blobs = {f"pki/private/{name}/keyset.yaml": keyset.dump() for name, keyset in keysets.items()}
    blobs |= {f"secrets/{name}": _secret() for name in DEPRECATED_TOKENS}
    blobs |= {group.config_key: configs[group.name] for group in cluster.instance_groups}
    blobs |= {f"instancegroup/{group.name}": dump(spec.instance_group(cluster, group)) for group in cluster.instance_groups}
    for etcd in ETCD_CLUSTERS:
        blobs |= {
            f"manifests/etcd/{etcd.name}-{group.name}.yaml": dump(manifests.etcd_manager(cluster, etcd)) for group in cluster.control_plane
        }
        blobs[f"backups/etcd/{etcd.name}/control/etcd-cluster-spec"] = _etcd_cluster_spec(cluster)
    return blobs | {
        "manifests/static/kube-apiserver-healthcheck.yaml": dump(manifests.apiserver_healthcheck()),
        "manifests/channels/kops-channels.yaml": dump(manifests.kops_channels(cluster)),
        f"addons/{addons.MANIFEST}": addons.addon_manifest(),
        "addons/bootstrap-channel.yaml": dump(addons.bootstrap_channel()),
        "clusteraddons/default": b"",
        "kops-version.txt": KOPS_VERSION.encode(),
        "cluster-completed.spec": dump(spec.completed(cluster)),
        "config": dump(spec.config(cluster)),
    }


def _secret() -> bytes:
    """Return a fresh token as kops stores one: 32 letters and digits in base64 in JSON."""
    token = secrets.token_hex(16).encode()
    return json.dumps({"Data": base64.b64encode(token).decode()}, separators=(",", ":")).encode()


def _etcd_cluster_spec(cluster: Cluster) -> bytes:
    """Return what kops asks of etcd-manager; two spaces, and this order."""
    return json.dumps({"memberCount": len(cluster.control_plane), "etcdVersion": str(cluster.etcd_version)}, indent=2).encode()
