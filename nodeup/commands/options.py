"""The options that all verbs which plan have, and what they become."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodeup.session import Options


def plan_options(parser: argparse.ArgumentParser, *, with_root: bool = True) -> None:
    """Add what it takes to plan a node: where its configuration is, and what stands for the machine."""
    parser.add_argument("--conf", default="node.yaml", metavar="FILE|URL", help="the boot configuration (kube_env.yaml)")
    parser.add_argument("--cache", default="/var/cache/nodeup", metavar="DIR", help="where assets are kept (default /var/cache/nodeup)")
    parser.add_argument(
        "--profile", choices=("native", "kops"), default="native", help="native: our own daemons; kops: exactly what kops makes"
    )
    parser.add_argument("--facts", type=Path, default=None, metavar="FILE", help="facts of the cloud and the resolver, in place of asking")
    if with_root:
        parser.add_argument("--root", type=Path, default=None, metavar="DIR", help="act on this directory in place of the machine")
    parser.add_argument(
        "--bundle", action="store_true", help="work from what `nodeup bundle apply` brought: --conf is not read, nothing fetched"
    )
    parser.add_argument("--with-assets", action="store_true", help="below a directory: binaries, too")


def options_of(arguments: argparse.Namespace) -> Options:
    """Return what these arguments ask for; the network is asked where no facts are given."""
    from nodeup.planners.context import Profile
    from nodeup.session import Options

    return Options(
        conf=arguments.conf,
        environment=dict(os.environ),
        cache=arguments.cache,
        profile=Profile(arguments.profile),
        root=getattr(arguments, "root", None),
        with_assets=arguments.with_assets,
        facts=arguments.facts,
        ask_network=arguments.facts is None,
        bundle=getattr(arguments, "bundle", False),
    )
