#!/usr/bin/env python3
"""Write an example state store in kops' layout, with fresh keys, so that nodeup and etcd-manager can be tried without kops.

    examples/make_state_store.py --cluster demo.example.com --store file:///tmp/state/demo.example.com --boot-config-dir /tmp/state/boot
    nodeup plan --conf /tmp/state/boot/control-plane-main/kube_env.yaml

With an s3:// URL the same S3_* variables count as for the agents, and are written into the pods, as kops does.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout, without being installed

from agents.cli import guarded
from agents.exit_codes import ExitCode
from agents.stores.url import open_store
from examples.state_store.assets import find_assets
from examples.state_store.stand_ins import make_stand_in_assets
from examples.state_store.write import example_cluster, write_boot_configs, write_state_store


def main(argv: list[str] | None = None) -> int:
    """Run the program, and return its exit code."""
    options = _parser().parse_args(argv)
    return guarded(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster", required=True, metavar="NAME", help="a DNS name, such as demo.example.com")
    parser.add_argument("--store", required=True, metavar="URL", help="where to write: file:///… or s3://bucket/prefix")
    parser.add_argument("--base", metavar="URL", help="what nodes call the store, where that is not --store")
    parser.add_argument("--cloud", choices=("metal", "aws"), default="metal")
    parser.add_argument("--control-plane", type=int, choices=(1, 3), default=1, help="how many control-plane machines")
    parser.add_argument("--address", action="append", default=[], metavar="IP", help="of a control-plane machine; once for each")
    parser.add_argument("--kubernetes-version", default="1.34.0")
    parser.add_argument("--etcd-version", default="3.5.16")
    parser.add_argument("--assets-dir", type=Path, metavar="DIR", help="files to list as assets, with their hashes")
    parser.add_argument("--assets-base", default="https://assets.example.com", metavar="URL", help="where that directory will be served")
    parser.add_argument("--make-stand-ins", action="store_true", help="first fill --assets-dir with small stand-ins for the binaries")
    parser.add_argument("--etcd-binaries", type=Path, metavar="DIR", help="with --make-stand-ins: a real etcd to pack among them")
    parser.add_argument("--boot-config-dir", type=Path, metavar="DIR", help="write <DIR>/<instance group>/kube_env.yaml")
    parser.add_argument("--force", action="store_true", help="overwrite a cluster that is stored there")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.make_stand_ins and options.assets_dir is not None:
        make_stand_in_assets(options.assets_dir, options.etcd_binaries, kubernetes_version=options.kubernetes_version)
    store = open_store(options.store, environment=os.environ)
    cluster = example_cluster(
        options.cluster,
        base=options.base or store.url,
        now=datetime.now(UTC),
        cloud=options.cloud,
        control_planes=options.control_plane,
        addresses=options.address,
        kubernetes_version=options.kubernetes_version,
        etcd_version=options.etcd_version,
        assets=None if options.assets_dir is None else find_assets(options.assets_dir, options.assets_base),
        environment=os.environ,
    )
    boot_configs = write_state_store(store, cluster, force=options.force)
    print(f"wrote cluster {cluster.name} to {store.url}: {len(store.list())} objects")
    if options.assets_dir is None:
        print("note: its assets exist nowhere (no --assets-dir): plan and render work, apply does not")
    if options.boot_config_dir is not None:
        for path in write_boot_configs(options.boot_config_dir, boot_configs):
            print(path)
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
