"""Command line tools for people who debug a node: crictl and nerdctl, where the specification brings them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource


def plan_crictl(context: PlanContext) -> Iterator[AnyResource]:
    """Plan crictl, if it is among the assets."""
    return _plan_tool(context, name="crictl", wanted_by="installCriCtl")


def plan_nerdctl(context: PlanContext) -> Iterator[AnyResource]:
    """Plan nerdctl, if it is among the assets."""
    return _plan_tool(context, name="nerdctl", wanted_by="installNerdCtl")


def _plan_tool(context: PlanContext, *, name: str, wanted_by: str) -> Iterator[AnyResource]:
    """Plan a tool that lies in the root of its archive.

    Where kops does not install containerd (`skipInstall`), its tools come only when they are asked for.
    """
    containerd = context.spec.containerd
    if containerd.boolean("skipInstall") and not containerd.boolean(wanted_by):
        return
    if context.catalog.members_known:
        for asset in context.catalog.matching(f"^{re.escape(name)}$"):
            yield File(path=f"{context.tools_directory}/{name}", content=asset, mode=0o755)
        return
    for archive in context.catalog.archives(f"^{re.escape(name)}-"):
        yield ArchiveMembers(key=archive.key, url=archive.urls[0], pattern=f"^(\\./)?{re.escape(name)}$", directory=context.tools_directory)
