"""/etc/kubernetes/cloud.config, which cloud controllers on the control plane mount."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.planners.openstack_config import openstack_lines
from nodeup.resources.content import Literal, SecretLiteral
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.boot import CloudProvider
from agents.secret import Secret

_PATH = "/etc/kubernetes/cloud.config"


def plan_cloud_config(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the file; not on Azure, and not on workers whose cloud provider is outside of Kubernetes, as all now are."""
    if context.cloud is CloudProvider.AZURE:
        return
    if not context.has_api_server and context.spec.kubelet.text("cloudProvider") == "external":
        return
    if context.cloud is CloudProvider.OPENSTACK:
        # It holds credentials; kops leaves it readable for all.
        yield File(path=_PATH, content=SecretLiteral(Secret(_text(openstack_lines(context)))), mode=0o600)
    else:
        yield File(path=_PATH, content=Literal(_text(_lines(context)).encode()))


def _text(lines: Iterator[str]) -> str:
    return "[global]\n" + "\n".join(lines) + "\n"


def _lines(context: PlanContext) -> Iterator[str]:
    config = context.spec.config
    match context.cloud:
        case CloudProvider.GCE:
            if config.text("nodeTags"):
                yield f"node-tags = {config.text('nodeTags')}"
            if config.text("nodeInstancePrefix"):
                yield f"node-instance-prefix = {config.text('nodeInstancePrefix')}"
            if config.has("multizone"):
                yield f"multizone = {config.text('multizone')}"
        case CloudProvider.AWS:
            if config.has("disableSecurityGroupIngress"):
                yield f"DisableSecurityGroupIngress = {config.text('disableSecurityGroupIngress')}"
            if config.text("elbSecurityGroup"):
                yield f"ElbSecurityGroup = {config.text('elbSecurityGroup')}"
            if config.text("nlbSecurityGroupMode"):
                yield f"NLBSecurityGroupMode = {config.text('nlbSecurityGroupMode')}"
            yield from (f"NodeIPFamilies = {family}" for family in config.texts("nodeIPFamilies"))
        case _:
            pass
