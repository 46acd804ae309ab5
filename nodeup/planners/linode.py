"""Linode: images come with a swap disk, with which the kubelet refuses to start, and with a host name that says nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nodeup.planners.context import PlanContext, Profile
from nodeup.planners.parts import literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.boot import CloudProvider

_SWAP = re.compile(r"[ \t]swap[ \t]")


def plan_linode(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the host's name, the node's; and /etc/fstab without swap, unless the kubelet is configured to use swap.

    kops sets the name while it still reads its configuration, so that its plans hold nothing of it.
    """
    if context.cloud is not CloudProvider.LINODE:
        return
    label = context.hostname_override
    if label and context.profile is not Profile.KOPS:
        yield File(path="/etc/hostname", content=literal(f"{label}\n"), mode=0o644, on_change=(("hostname", label),))
    if context.spec.kubelet.text("memorySwapBehavior"):
        return
    kept = [line for line in context.facts.fstab.split("\n") if not _SWAP.search(line)]
    yield File(path="/etc/fstab", content=literal("\n".join(kept)), mode=0o644, on_change=(("swapoff", "-a"),))
