"""Linode: images come with a swap disk, with which the kubelet refuses to start."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.planners.parts import literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.boot import CloudProvider

_SWAP = re.compile(r"[ \t]swap[ \t]")


def plan_linode(context: PlanContext) -> Iterator[AnyResource]:
    """Plan /etc/fstab without swap, unless the kubelet is configured to use swap."""
    if context.cloud is not CloudProvider.LINODE or context.spec.kubelet.text("memorySwapBehavior"):
        return
    kept = [line for line in context.facts.fstab.split("\n") if not _SWAP.search(line)]
    yield File(path="/etc/fstab", content=literal("\n".join(kept)), mode=0o644, on_change=(("swapoff", "-a"),))
