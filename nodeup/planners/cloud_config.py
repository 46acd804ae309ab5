"""/etc/kubernetes/cloud.config, which cloud controllers on the control plane mount."""

from __future__ import annotations

from collections.abc import Iterator

from agents.secret import Secret
from nodeup.planners.context import PlanContext
from nodeup.planners.openstack_config import openstack_lines
from nodeup.resources.content import Literal, SecretLiteral
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.boot import CloudProvider

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


#: Names in the file and keys of the configuration, in the file's order; a key that is absent has no line, a list one for each item.
_LINES = {
    CloudProvider.GCE: (("node-tags", "nodeTags"), ("node-instance-prefix", "nodeInstancePrefix"), ("multizone", "multizone")),
    CloudProvider.AWS: (
        ("DisableSecurityGroupIngress", "disableSecurityGroupIngress"),
        ("ElbSecurityGroup", "elbSecurityGroup"),
        ("NLBSecurityGroupMode", "nlbSecurityGroupMode"),
        ("NodeIPFamilies", "nodeIPFamilies"),
    ),
}


def _lines(context: PlanContext) -> Iterator[str]:
    config = context.spec.config
    for name, key in _LINES.get(context.cloud, ()):
        values = config.texts(key) if isinstance(config.raw(key), list) else (config.text(key),)
        yield from (f"{name} = {value}" for value in values if value)
