"""The options that all verbs which plan have, and what they become."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodeup.session import Options


#: kops' default, relative to where nodeup is called.
_DEFAULT_CONF = "node.yaml"


def plan_options(parser: argparse.ArgumentParser, *, with_root: bool = True) -> None:
    """Add what it takes to plan a node: where its configuration is, and what stands for the machine."""
    parser.add_argument(
        "--conf", default=_DEFAULT_CONF, metavar="FILE|URL", help="the boot configuration (default: node.yaml, else that of nodeup's unit)"
    )
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
        conf=_conf(arguments),
        environment=_environment(arguments),
        cache=arguments.cache,
        profile=Profile(arguments.profile),
        root=getattr(arguments, "root", None),
        with_assets=arguments.with_assets,
        facts=arguments.facts,
        ask_network=arguments.facts is None,
        bundle=getattr(arguments, "bundle", False),
    )


def _environment(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the variables of this process, and on a machine those of nodeup's unit below them: a plan by hand is then the unit's plan."""
    from agents.host.local import LocalHost
    from nodeup.machine_conf import unit_environment

    on_machine = getattr(arguments, "root", None) is None and not hasattr(arguments, "out")
    return unit_environment(LocalHost(), os.environ) if on_machine else dict(os.environ)


def _conf(arguments: argparse.Namespace) -> str:
    """Return where the boot configuration is: on a node, without --conf, where user data put it."""
    from nodeup.machine_conf import CONF

    is_default = arguments.conf == _DEFAULT_CONF and getattr(arguments, "root", None) is None
    return CONF if is_default and not Path(_DEFAULT_CONF).exists() and Path(CONF).exists() else str(arguments.conf)
