"""What is to be explained: a resource, a flag of a component, a field of a component's configuration; as a projection of a plan. Pure."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agents.documents import load_yaml
from agents.errors import AgentError, NotFoundError
from nodeup.explain.leaves import Path
from nodeup.planners.context import PlanContext
from nodeup.planners.table import PLANNERS, Planner
from nodeup.render.flag_tables import (
    CONTAINERD,
    KUBE_API_SERVER,
    KUBE_CONTROLLER_MANAGER,
    KUBE_PROXY,
    KUBE_SCHEDULER,
    KUBELET,
    FlagField,
)
from nodeup.resources.certificate import Kubeconfig
from nodeup.resources.content import FromResource, Literal, SecretLiteral
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.resources.unit import Unit

#: The components' own configuration files.
CONFIG_FILES: Mapping[str, str] = MappingProxyType(
    {
        "kubelet": "/var/lib/kubelet/kubelet.conf",
        "containerd": "/etc/containerd/config.toml",
        "kube-scheduler": "/var/lib/kube-scheduler/config.yaml",
    }
)
#: Where nodeup.Config has a component's settings, and its flags.
_SECTIONS: Mapping[str, tuple[Path, tuple[FlagField, ...]]] = MappingProxyType(
    {
        "kubelet": (("KubeletConfig",), KUBELET),
        "containerd": (("containerdConfig",), CONTAINERD),
        "kube-proxy": (("KubeProxy",), KUBE_PROXY),
        "kube-apiserver": (("APIServerConfig", "KubeAPIServer"), KUBE_API_SERVER),
        "kube-controller-manager": (("ControlPlaneConfig", "KubeControllerManager"), KUBE_CONTROLLER_MANAGER),
        "kube-scheduler": (("ControlPlaneConfig", "KubeScheduler"), KUBE_SCHEDULER),
    }
)
#: A flag in an argument list, an environment file or a unit; not the dashes of a PEM block.
_ANY_FLAG = re.compile(r"(?:^|[\s\"'])--[a-z]", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something of a plan with a value."""

    #: "kubelet.config.maxPods", "kube-apiserver --oidc-issuer-url", "file:/etc/hosts".
    name: str
    #: The planner that makes it.
    planner: Planner
    #: The ids of the resources that it is in.
    resources: tuple[str, ...]
    #: Its value as text in a plan; None where it is not there.
    project: Callable[[PlanContext], str | None]
    #: Fields of nodeup.Config that may set it; tried where it has no value.
    settable: tuple[Path, ...] = ()


def made_by(context: PlanContext) -> Mapping[str, tuple[Planner, AnyResource]]:
    """Return all resources of a plan by id, each with the planner that asks for it first."""
    found: dict[str, tuple[Planner, AnyResource]] = {}
    for planner in PLANNERS:
        for resource in planner.plan(context):
            found.setdefault(resource.id, (planner, resource))
    return found


def resource_target(resource_id: str, plan: Mapping[str, tuple[Planner, AnyResource]]) -> Target:
    """Return a whole resource, with what it is made of: a kubeconfig's file with the kubeconfig and its certificate."""
    planner, _ = plan[resource_id]
    chain = tuple(_chain(resource_id, plan))

    def project(context: PlanContext) -> str | None:
        made = {resource.id: resource for resource in planner.plan(context)}
        parts = [text_of(made[one]) for one in chain if one in made]
        return "\n".join(parts) if resource_id in made else None

    return Target(name=resource_id, planner=planner, resources=chain, project=project)


def flag_target(component: str, flag: str, plan: Mapping[str, tuple[Planner, AnyResource]]) -> Target:
    """Return a flag ("--oidc-issuer-url", dashes may be left out) of a component; NotFoundError where nothing of that name has flags."""
    name = flag.lstrip("-").partition("=")[0]
    pattern = re.compile(rf"(?<![\w-])--{re.escape(name)}(?:=([^\s\"']*)|(?![\w-]))")
    section = _SECTIONS.get(component)
    keys = [] if section is None else [(*section[0], one.key) for one in section[1] if one.flag == name]
    candidates = [resource.id for _, resource in plan.values() if component in resource.id and _has_flags(resource)]
    if not candidates:
        raise NotFoundError(
            f"nothing in the plan of this node is named {component} and has flags", hint="for example kube-apiserver, kubelet"
        )
    with_it = [one for one in candidates if pattern.search(text_of(plan[one][1]))] or candidates
    planner = plan[with_it[0]][0]

    def project(context: PlanContext) -> str | None:
        texts = [text_of(resource) for resource in planner.plan(context) if resource.id in with_it]
        values = [match[1] or "" for text in texts for match in pattern.finditer(text)]
        return ", ".join(values) if values else None

    return Target(name=f"{component} --{name}", planner=planner, resources=tuple(with_it), project=project, settable=tuple(keys))


def field_target(thing: str, plan: Mapping[str, tuple[Planner, AnyResource]]) -> Target | None:
    """Return a field of a configuration file, "kubelet.config.maxPods" or "<path>#a.b"; None where `thing` is not of that form."""
    path, hash_sign, field = thing.partition("#")
    component = ""
    if not hash_sign:
        component, config, field = thing.partition(".config.")
        path = CONFIG_FILES.get(component, "") if config else ""
    resource_id = f"file:{path}"
    if not field or resource_id not in plan:
        return None
    planner, _ = plan[resource_id]
    keys = tuple(field.split("."))

    def project(context: PlanContext) -> str | None:
        made = next((resource for resource in planner.plan(context) if resource.id == resource_id), None)
        found = None if made is None else _at(_parsed(path, text_of(made)), keys)
        return None if found is None else _shown(found)

    section = _SECTIONS.get(component)
    settable = () if section is None else ((*section[0], *keys),)
    return Target(name=thing, planner=planner, resources=(resource_id,), project=project, settable=settable)


def text_of(resource: AnyResource) -> str:
    """Return what there is to compare of a resource: the text of a file or unit that may be shown, else all of its fields."""
    match resource:
        case File(content=Literal(content)):
            return content.decode(errors="replace")
        case File(content=SecretLiteral(secret)):
            # Its digest, so that a change is seen, and nothing else of it.
            return f"{resource!r} {hashlib.sha256(secret.reveal()).hexdigest()}"
        case Unit(definition=str() as definition):
            return definition
        case _:
            return repr(resource)


def _chain(resource_id: str, plan: Mapping[str, tuple[Planner, AnyResource]]) -> Iterator[str]:
    """Yield a resource and those that make its bytes."""
    while resource_id in plan:
        yield resource_id
        match plan[resource_id][1]:
            case File(content=FromResource(producer, _)):
                resource_id = producer
            case Kubeconfig(certificate=certificate):
                resource_id = certificate
            case _:
                return


def _has_flags(resource: AnyResource) -> bool:
    return isinstance(resource, File | Unit) and _ANY_FLAG.search(text_of(resource)) is not None


def _parsed(path: str, text: str) -> object:
    try:
        return tomllib.loads(text) if path.endswith(".toml") else load_yaml(text, where=path)
    except (AgentError, ValueError):
        return None


def _at(document: object, keys: Iterable[str]) -> object:
    """Return what is at a path; of lists by number. Keys may hold dots: the longest that fits is taken (containerd's plugins)."""
    rest = list(keys)
    while rest:
        if isinstance(document, list) and rest[0].isdigit() and int(rest[0]) < len(document):
            document = document[int(rest.pop(0))]
            continue
        fitting = [count for count in range(len(rest), 0, -1) if isinstance(document, dict) and ".".join(rest[:count]) in document]
        if not fitting or not isinstance(document, dict):
            return None
        document, rest = document[".".join(rest[: fitting[0]])], rest[fitting[0] :]
    return document


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
