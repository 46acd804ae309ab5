"""Static pods of kops whose work this node's services do: on a node that kops' own nodeup converged, both would run."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agents.errors import NotFoundError
from agents.host.protocol import Host
from nodeup.planners.components import MANIFESTS
from nodeup.resources.file import File
from nodeup.resources.former import FormerFile
from nodeup.resources.kinds import AnyResource


def superseded_pods(host: Host, planned: Iterable[AnyResource], kops_plan: Callable[[], Iterable[AnyResource]]) -> tuple[FormerFile, ...]:
    """Return the manifests on the machine that kops' plan has and this plan has not; `kops_plan` is only made where there may be any.

    A manifest that neither has is an operator's, and stays.
    """
    try:
        there = {f"{MANIFESTS}/{name}" for name in host.list(MANIFESTS)}
    except NotFoundError:
        return ()
    there -= {resource.path for resource in planned if isinstance(resource, File)}
    if not there:
        return ()
    of_kops = {resource.path for resource in kops_plan() if isinstance(resource, File)}
    return tuple(FormerFile(path=path, reason="a service of the machine does the work of kops' pod") for path in sorted(there & of_kops))
