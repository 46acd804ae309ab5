"""kube-router: its identity, and the routing tables' names where it looks for them."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.certificates import KUBELET, config_of, kubeconfig
from nodeup.planners.context import PlanContext
from nodeup.resources.file import File, Symlink
from nodeup.resources.kinds import AnyResource

#: Distributions whose iproute2 has its tables in /etc only; newer ones have them in /usr/share.
_TABLES_IN_ETC = frozenset({"debian11", "debian12", "ubuntu2004", "ubuntu2204", "ubuntu2404"})


def plan_kube_router(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the kubeconfig that kube-router's pods mount, and a link to rt_tables where they expect it."""
    if not context.spec.networking.has("kubeRouter"):
        return
    made, resources = kubeconfig(context, "kube-router", common_name="system:kube-router")
    yield from resources
    yield File(path="/var/lib/kube-router/kubeconfig", content=config_of(made), mode=0o400, before_services=(KUBELET,))
    if context.facts.distribution.id in _TABLES_IN_ETC:
        yield Symlink(path="/usr/share/iproute2", target="/etc/iproute2")
