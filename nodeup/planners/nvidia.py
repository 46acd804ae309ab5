"""NVIDIA GPUs on Ubuntu: the driver, and what lets containers use it."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.resources.kinds import AnyResource
from nodeup.resources.package import AptSource, Package

_TOOLKIT = "nvidia-container-toolkit"


def plan_nvidia(context: PlanContext) -> Iterator[AnyResource]:
    """Plan driver and container toolkit. Other distributions must bring both in their image."""
    wanted = context.spec.config.section("NvidiaGPU")
    if not (wanted.boolean("enabled") and context.has_nvidia_gpu and context.facts.distribution.is_ubuntu):
        return
    yield AptSource(
        name=_TOOLKIT,
        keyring_url="https://nvidia.github.io/libnvidia-container/gpgkey",
        # apt puts the architecture in place of $(ARCH).
        sources=("deb https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH) /",),
    )
    yield Package(name=_TOOLKIT)
    yield Package(name=wanted.text("package"))
