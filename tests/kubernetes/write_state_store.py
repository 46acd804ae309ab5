"""Write the state store of a cluster with Kubernetes 1.20, in the bed's network:

python -m tests.kubernetes.write_state_store STORE ADDRESS ETCD_VERSION ASSETS_DIR ASSETS_URL BOOT_CONFIG_DIR IMAGE_ARCHIVE …
"""

from __future__ import annotations

import hashlib
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from agents.documents import as_mapping, load_yaml
from agents.stores.url import open_store
from examples.state_store.assets import find_assets
from examples.state_store.nodeup_config import boot_config, dump
from examples.state_store.write import example_cluster, write_boot_configs, write_state_store
from tests.kubernetes.assets import VERSION
from tests.kubernetes.node_config import for_kubernetes_1_20


def main(url: str, address: str, etcd_version: str, assets: Path, assets_url: str, boot_configs: Path, archives: list[str]) -> None:
    store = open_store(url, environment=os.environ)
    cluster = example_cluster(
        url.rpartition("/")[2],
        base=store.url,
        now=datetime.now(UTC),
        addresses=[address],
        kubernetes_version=VERSION,
        etcd_version=etcd_version,
        assets=find_assets(assets, assets_url),
        environment=os.environ,
    )
    write_state_store(store, cluster)
    (group,) = cluster.control_plane
    images = [{"sources": [f"{assets_url}/{name}"], "hash": f"sha256:{sha256(assets / name)}"} for name in archives]
    written = as_mapping(load_yaml(store.read(group.config_key), where=group.config_key), where=group.config_key)
    content = dump(for_kubernetes_1_20(written, images))
    store.write(group.config_key, content)
    write_boot_configs(boot_configs, {group.name: dump(boot_config(cluster, group, {}, content))})


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    _, store_url, node_address, version, directory, base, boot, *names = sys.argv
    main(store_url, node_address, version, Path(directory), base, Path(boot), names)
