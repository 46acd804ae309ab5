"""kops-channels, the applier of addons: its user, its kubeconfig, and in the kops profile its static pod."""

from __future__ import annotations

from collections.abc import Iterator

from agents.documents import as_mapping, load_yaml
from agents.secret import Secret
from nodeup.planners.certificates import config_of, kubeconfig
from nodeup.planners.components import MANIFESTS, service_user, uses_selinux
from nodeup.planners.context import PlanContext, Profile
from nodeup.render.static_pod import SELINUX_CONTEXT, manifest
from nodeup.resources.content import SecretLiteral
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource

#: The uid in kops' own manifest of the pod.
_UID = 10013
_USER = "kops-channels"
_HOME = "/var/lib/kops"


def plan_channels(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the applier of addons; natively protokube does its work, with the same kubeconfig."""
    if not context.is_control_plane:
        return
    made, resources = kubeconfig(context, "kops", common_name="kops", organization=("system:masters",))
    yield from resources
    if context.profile is Profile.NATIVE:
        yield File(path=f"{_HOME}/kubeconfig", content=config_of(made), mode=0o400)
        return
    yield service_user(_USER, _UID, home=_HOME)
    yield File(path=f"{_HOME}/kubeconfig", content=config_of(made), mode=0o400, owner=_USER)
    url = context.spec.config.text("channelsManifest")
    if url:
        # kops puts the credentials of the state store into the pod's variables.
        yield File(path=f"{MANIFESTS}/kops-channels.manifest", content=SecretLiteral(Secret(_manifest(context, url))))


def _manifest(context: PlanContext, url: str) -> bytes:
    given = context.spec.manifest(url)
    if not uses_selinux(context):
        return given
    pod = as_mapping(load_yaml(given, where=url), where=url)
    spec = as_mapping(pod.get("spec"), where=f"{url}: spec")
    context_of_pod = as_mapping(spec.get("securityContext") or {}, where=f"{url}: spec.securityContext")
    added = as_mapping(SELINUX_CONTEXT["securityContext"], where="")
    return manifest(pod | {"spec": spec | {"securityContext": context_of_pod | added}})
