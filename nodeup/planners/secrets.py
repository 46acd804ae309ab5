"""The cluster's CA bundle and the credentials for container registries."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.planners.keys import bundle_file
from nodeup.resources.content import SecretLiteral
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.node import CLUSTER_CA


def plan_secrets(context: PlanContext) -> Iterator[AnyResource]:
    """Plan what every node has."""
    yield bundle_file(context, CLUSTER_CA, f"{context.srv}/ca.crt", mode=0o600)
    docker = context.spec.secrets.get("dockerconfig")
    if docker is not None:
        # kops writes to "root/.docker", relative to whatever directory it was started in.
        yield File(path="/root/.docker/config.json", content=SecretLiteral(docker), mode=0o600)
