"""The calls of Auto Scaling's API that a node makes for itself: to say that its preparation is over."""

from __future__ import annotations

from collections.abc import Mapping

from agents.clouds.aws_api import AwsApi
from agents.errors import NotFoundError


class AwsAutoScaling:
    """Auto Scaling of one region."""

    def __init__(self, region: str, environment: Mapping[str, str]) -> None:
        self._api = AwsApi("autoscaling", region, environment, endpoint_variable="AWS_ENDPOINT_URL_AUTO_SCALING")

    def complete_lifecycle_action(self, *, group: str, hook: str, instance_id: str) -> bool:
        """Let an instance go on that waits in a hook; return whether it waited. A group without the hook is fine."""
        hooks = self._api.call("describe_lifecycle_hooks", AutoScalingGroupName=group, LifecycleHookNames=[hook])
        if not hooks.get("LifecycleHooks"):
            return False
        try:
            self._api.call(
                "complete_lifecycle_action",
                AutoScalingGroupName=group,
                LifecycleHookName=hook,
                InstanceId=instance_id,
                LifecycleActionResult="CONTINUE",
            )
        except NotFoundError:
            # "No active Lifecycle Action found": it goes on already.
            return False
        return True
