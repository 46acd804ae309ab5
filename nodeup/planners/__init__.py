"""From a node's specification and the facts about a machine to the resources that it consists of; pure throughout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from agents.errors import InvariantError, SpecError
from nodeup.assets.catalog import ArchiveMember, Catalog
from nodeup.facts import Facts
from nodeup.planners.context import PlanContext, Profile
from nodeup.planners.table import PLANNERS, Planner
from nodeup.resources.certificate import Kubeconfig
from nodeup.resources.cloud import DiscoveryRegistration
from nodeup.resources.content import FromResource
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.resources.unit import Unit
from nodeup.spec.node import NodeSpec


def plan(spec: NodeSpec, facts: Facts, profile: Profile, *, members: Sequence[ArchiveMember] | None = None) -> tuple[AnyResource, ...]:
    """Return everything that the node consists of, in the planners' order, each resource once.

    `members` are the files in the archives among the assets, where they are known. Two planners may ask for the same
    resource if they agree on it; SpecError where they do not (a file asset that takes the place of kubelet's own file).
    """
    context = context_of(spec, facts, profile, members=members)
    resources = restarted_by_drop_ins(tuple(resource for _, resource in planned(context, PLANNERS)))
    check_producers(resources)
    return resources


def context_of(spec: NodeSpec, facts: Facts, profile: Profile, *, members: Sequence[ArchiveMember] | None = None) -> PlanContext:
    """Return what planners are given for this node; SpecError where an entry of the asset list cannot be read."""
    listed = spec.config.section("Assets")
    assets = listed.texts(facts.architecture)
    others = sorted(name for name in ("amd64", "arm64") if listed.texts(name))
    if others and not assets:
        raise SpecError(
            f"the configuration lists assets for {', '.join(others)}, and this machine is {facts.architecture}",
            code="asset-architecture",
            hint="the instance group's image and machine type must have one architecture that kops has assets for",
        )
    return PlanContext(spec=spec, facts=facts, profile=profile, catalog=Catalog.of(assets, members=members))


def planned(context: PlanContext, planners: Iterable[Planner]) -> tuple[tuple[str, AnyResource], ...]:
    """Return what these planners ask for, each resource once, with the builder that asked first."""
    chosen: dict[str, tuple[str, AnyResource]] = {}
    for planner in planners:
        for resource in planner.plan(context):
            builder, first = chosen.setdefault(resource.id, (planner.builder, resource))
            if first != resource:
                raise SpecError(
                    f"{resource.id} is asked for twice, by {builder} and by {planner.builder}, and not in the same way",
                    hint="look for a file asset, a hook or a package that collides with one of kops' own",
                )
    return tuple(chosen.values())


def restarted_by_drop_ins(resources: tuple[AnyResource, ...]) -> tuple[AnyResource, ...]:
    """Return the resources with each unit restarted by the drop-ins that the plan has for it (`kubelet.service.d/10-mine.conf`).

    They come from file assets, whose planner knows no units.
    """
    by_directory: dict[str, tuple[str, ...]] = {}
    for path in (resource.path for resource in resources if isinstance(resource, File)):
        directory, _, name = path.rpartition("/")
        if directory.endswith(".d") and name.endswith(".conf"):
            key = directory.rpartition("/")[2]
            by_directory[key] = (*by_directory.get(key, ()), path)
    return tuple(_with_inputs(resource, by_directory) for resource in resources)


def _with_inputs(resource: AnyResource, drop_ins: Mapping[str, tuple[str, ...]]) -> AnyResource:
    if not isinstance(resource, Unit):
        return resource
    added = tuple(path for path in drop_ins.get(f"{resource.full_name}.d", ()) if path not in resource.restart_on)
    return replace(resource, restart_on=(*resource.restart_on, *added)) if added else resource


def check_producers(resources: Sequence[AnyResource]) -> None:
    """InvariantError where a resource takes its content from one that is not in the plan."""
    known = {resource.id for resource in resources}
    for resource in resources:
        for producer in _producers(resource):
            if producer not in known:
                raise InvariantError(f"{resource.id} takes its content from {producer}, which is not in the plan")


def _producers(resource: AnyResource) -> Iterator[str]:
    match resource:
        case File(content=FromResource(producer, _)):
            yield producer
        case Kubeconfig():
            yield resource.certificate
        case DiscoveryRegistration():
            yield resource.certificate
        case _:
            pass
