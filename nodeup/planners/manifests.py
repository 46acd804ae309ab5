"""The static pods of etcd-manager, exactly as kops wrote them (profile kops)."""

from __future__ import annotations

from collections.abc import Iterator

from agents.secret import Secret
from nodeup.planners.components import MANIFESTS
from nodeup.planners.context import PlanContext, Profile
from nodeup.resources.content import SecretLiteral
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource


def plan_manifests(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the etcd manifests; in the native profile etcd-manager is a unit (`nodeup.planners.native_agents`)."""
    if not context.is_control_plane or context.profile is not Profile.KOPS:
        return
    for url in context.spec.config.texts("etcdManifests"):
        name = url.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        # kops puts the credentials of the backup store into the pod's variables.
        content = SecretLiteral(Secret(context.spec.manifest(url)))
        yield File(path=f"{MANIFESTS}/etcd-{name}.manifest", content=content, mode=0o440)
