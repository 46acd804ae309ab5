"""Auto Scaling's hook, in which an instance waits until it is prepared."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.resources.cloud import LifecycleCompletion
from nodeup.resources.kinds import AnyResource

#: The hook that kops' command line makes for instance groups with a warm pool.
_HOOK = "kops-warmpool"


def plan_lifecycle(context: PlanContext) -> Iterator[AnyResource]:
    """Plan to say that the instance is prepared, last of all; kops does it after its tasks, so that its plans hold nothing of it."""
    if context.aws is None or not context.spec.config.boolean("EnableLifecycleHook"):
        return
    yield LifecycleCompletion(
        group=f"{context.spec.boot.instance_group}.{context.cluster_name}",
        hook=_HOOK,
        instance_id=context.aws.instance_id,
        state=context.aws.lifecycle_state,
    )
