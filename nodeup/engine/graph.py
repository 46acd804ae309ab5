"""Every rule about the order of resources, and the graph that follows from them; pure.

A rule says for one step which others must be done before it. Two steps without a path between them run at the same
time. The rules are kops' (upup/pkg/fi/nodeup/nodetasks, the GetDependencies methods), with what it leaves to chance
decided: kubelet after containerd, etcd-manager after protokube, the first call to kops-controller after /etc/hosts.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agents.errors import InvariantError
from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.asset import Asset
from nodeup.resources.certificate import BootstrapCertificates, Kubeconfig
from nodeup.resources.cloud import DiscoveryRegistration, Ipv6Prefix, LifecycleCompletion
from nodeup.resources.content import FromAsset, FromResource
from nodeup.resources.file import Directory, File, Symlink
from nodeup.resources.former import FormerFile, FormerUnit
from nodeup.resources.hosts import HostsBlock
from nodeup.resources.image import ImageArchive, ImageFiles, PulledImage
from nodeup.resources.kinds import AnyResource
from nodeup.resources.mount import BindMount, FormattedVolume
from nodeup.resources.package import AptSource, Package, PackageSet
from nodeup.resources.unit import Unit
from nodeup.resources.user import User

Step = AnyResource | Asset | FormerFile | FormerUnit | PackageSet

#: (earlier, later) of units, both as prefixes of their names. systemd has the same order for a boot; here it makes
#: the first start meaningful: a kubelet without containerd, or etcd-manager without a volume, would only wait.
UNIT_ORDER = (("containerd.service", "kubelet.service"), ("protokube.service", "etcd-manager@"))

#: kubelet starts what is put there.
STATIC_PODS = "/etc/kubernetes/manifests/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """That a step waits for another, and by which rule."""

    on: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Steps in an order that keeps all dependencies; the same input always gives the same order."""

    steps: tuple[Step, ...]
    dependencies: Mapping[str, tuple[Dependency, ...]]

    def step(self, step_id: str) -> Step:
        """Return a step by its id."""
        return next(step for step in self.steps if step.id == step_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class _All:
    """The steps, by what rules ask for."""

    by_id: Mapping[str, Step]
    #: Every directory, bind mount and volume by its path.
    places: Mapping[str, str]
    asset_by_url: Mapping[str, str]

    @classmethod
    def of(cls, steps: Iterable[Step]) -> _All:
        by_id = {step.id: step for step in steps}
        places = {place.rstrip("/"): step.id for step in by_id.values() if (place := _place(step)) is not None}
        assets = {step.url: step.id for step in by_id.values() if isinstance(step, Asset)}
        return cls(by_id=by_id, places=places, asset_by_url=assets)

    def ids(self, *kinds: type) -> Iterator[str]:
        return (step.id for step in self.by_id.values() if isinstance(step, kinds))


def build_graph(resources: Sequence[AnyResource], assets: Sequence[Asset] = (), former: Sequence[FormerFile | FormerUnit] = ()) -> Graph:
    """Return the steps of a plan, with the assets that it takes bytes from and what is to be as it formerly was, in order.

    All packages become one step. Assets that nothing is taken from are left out: a worker need not fetch kubectl.
    InvariantError for two resources of one name and for a cycle, which it names.
    """
    steps = (*former, *_steps(resources, assets))
    everything = _All.of(steps)
    if len(everything.by_id) != len(steps):
        names = [step.id for step in steps]
        raise InvariantError(f"a plan holds two resources named {', '.join(sorted({name for name in names if names.count(name) > 1}))}")
    dependencies = {step.id: _dependencies_of(step, everything) for step in steps}
    return Graph(steps=_in_order(steps, dependencies), dependencies=dependencies)


def _dependencies_of(step: Step, everything: _All) -> tuple[Dependency, ...]:
    found: dict[str, str] = {}
    for name, rule in RULES:
        for earlier in rule(step, everything):
            if earlier in everything.by_id and earlier != step.id:
                found.setdefault(earlier, name)
    return tuple(Dependency(on=earlier, rule=rule) for earlier, rule in sorted(found.items()))


# --- The rules -------------------------------------------------------------------------------------------------------


def _after_what_makes_its_bytes(step: Step, everything: _All) -> Iterator[str]:
    match step:
        case File(content=FromResource(producer, _)):
            yield producer
        case File(content=FromAsset(_, path)) if "://" in path:
            yield everything.asset_by_url.get(path, "")
        case File(content=FromAsset()):  # a member: it is not known of which archive
            yield from (asset for url, asset in everything.asset_by_url.items() if _is_archive(url))
        case ArchiveMembers():
            yield everything.asset_by_url.get(step.url, "")
        case Kubeconfig() | DiscoveryRegistration():
            yield step.certificate


def _after_its_owner(step: Step, everything: _All) -> Iterator[str]:  # noqa: ARG001 - all rules have one signature
    if isinstance(step, File | Directory):
        for name in (step.owner, step.group):
            if name is not None:
                yield f"user:{name}"


def _after_the_directories_above(step: Step, everything: _All) -> Iterator[str]:
    match step:
        case File() | Directory() | Symlink() | FormattedVolume():
            yield from _places_above(step.path, everything)
        case ArchiveMembers() | ImageFiles():
            yield from _places_above(f"{step.directory}/*", everything)
        case BindMount():
            yield from _places_above(step.mountpoint, everything)
            yield from _places_above(step.source, everything)
            for path in (step.mountpoint, step.source):
                yield f"directory:{path}"
                yield f"directory:{path}/"


def _after_files_it_names(step: Step, everything: _All) -> Iterator[str]:  # noqa: ARG001
    if isinstance(step, File):
        yield from (f"file:{path}" for path in step.after_files)


def _after_packages(step: Step, everything: _All) -> Iterator[str]:
    match step:
        case File(after_packages=True) | FormattedVolume():  # mkfs.xfs comes from a package
            yield from everything.ids(PackageSet)
        case PackageSet():
            yield from everything.ids(AptSource)


def _units_after_the_machine_is_ready(step: Step, everything: _All) -> Iterator[str]:
    if isinstance(step, Unit):
        kinds = (PackageSet, AptSource, User, BindMount, FormattedVolume, Ipv6Prefix, HostsBlock, Symlink)
        yield from everything.ids(*kinds)


def _units_after_their_files(step: Step, everything: _All) -> Iterator[str]:
    if not isinstance(step, Unit):
        return
    names = {step.name, step.full_name}
    for other in everything.by_id.values():
        match other:
            case File() | Directory() | ArchiveMembers() | ImageFiles():
                if not other.before_services or names & set(other.before_services):
                    yield other.id


def _units_after_other_units(step: Step, everything: _All) -> Iterator[str]:
    if isinstance(step, Unit):
        for earlier, later in UNIT_ORDER:
            if step.full_name.startswith(later):
                yield from (name for name in everything.ids(Unit) if name.startswith(f"unit:{earlier}"))
        if step.full_name.endswith(".service"):
            # systemd knows what triggers a service once that is loaded; it decides whether the service may end.
            yield f"unit:{step.full_name.removesuffix('.service')}.timer"


def _kubelet_after_loaded_images(step: Step, everything: _All) -> Iterator[str]:
    if isinstance(step, Unit) and step.full_name == "kubelet.service":
        yield from everything.ids(ImageArchive)


def _images_after_containerd(step: Step, everything: _All) -> Iterator[str]:  # noqa: ARG001
    if isinstance(step, ImageArchive | PulledImage):
        yield "unit:containerd.service"


def _bootstrap_after_hosts(step: Step, everything: _All) -> Iterator[str]:
    if isinstance(step, BootstrapCertificates):
        yield from everything.ids(HostsBlock)


def _after_what_has_to_go(step: Step, everything: _All) -> Iterator[str]:
    """Two etcds on one volume, or a unit with yesterday's drop-in: what is not wanted goes before anything takes its place."""
    match step:
        case Unit():
            yield from everything.ids(FormerUnit, FormerFile)
        case FormerFile():
            yield from everything.ids(FormerUnit)
        case File() if step.path.startswith(STATIC_PODS):
            yield from everything.ids(FormerUnit)


def _last_of_all(step: Step, everything: _All) -> Iterator[str]:
    """Auto Scaling stops a warming instance as soon as it hears that it is prepared."""
    if isinstance(step, LifecycleCompletion):
        yield from everything.by_id


#: All rules of order; the name is what a report says when a step was skipped.
RULES: tuple[tuple[str, Callable[[Step, _All], Iterator[str]]], ...] = (
    ("it makes its bytes", _after_what_makes_its_bytes),
    ("it owns it", _after_its_owner),
    ("it is a directory above it", _after_the_directories_above),
    ("it names it in after_files", _after_files_it_names),
    ("packages come first", _after_packages),
    ("units start on a machine that is ready", _units_after_the_machine_is_ready),
    ("units start after their files", _units_after_their_files),
    ("the earlier unit serves the later", _units_after_other_units),
    ("kubelet starts after images are loaded", _kubelet_after_loaded_images),
    ("containerd keeps images", _images_after_containerd),
    ("kops-controller is found by /etc/hosts", _bootstrap_after_hosts),
    ("what is not wanted goes first", _after_what_has_to_go),
    ("it says that all is done", _last_of_all),
)


#: Without these a step cannot be made at all; the other rules say what a whole run does first.
FOLLOWED_RULES = frozenset({"it makes its bytes", "it owns it", "it is a directory above it"})


# --- Mechanics -------------------------------------------------------------------------------------------------------


def _steps(resources: Sequence[AnyResource], assets: Sequence[Asset]) -> tuple[Step, ...]:
    packages = sorted({resource.name for resource in resources if isinstance(resource, Package)})
    rest: list[Step] = [resource for resource in resources if not isinstance(resource, Package)]
    if packages:
        rest.append(PackageSet(names=tuple(packages)))
    wanted_urls = {resource.url for resource in resources if isinstance(resource, ArchiveMembers)}
    taken = [resource.content for resource in resources if isinstance(resource, File) and isinstance(resource.content, FromAsset)]
    wanted_urls |= {content.path for content in taken}
    # A member of an archive is named by its path in it, so any archive may be meant.
    members = any("://" not in content.path for content in taken)
    return (*(asset for asset in assets if asset.url in wanted_urls or (members and _is_archive(asset.url))), *rest)


def _is_archive(url: str) -> bool:
    return url.lower().endswith((".tar.gz", ".tgz"))


def _place(step: Step) -> str | None:
    match step:
        case Directory() | FormattedVolume():
            return step.path
        case BindMount():
            return step.mountpoint
        case _:
            return None


def _places_above(path: str, everything: _All) -> Iterator[str]:
    parts = path.rstrip("/").split("/")
    for length in range(len(parts) - 1, 1, -1):
        above = everything.places.get("/".join(parts[:length]))
        if above is not None:
            yield above


def _in_order(steps: Sequence[Step], dependencies: Mapping[str, tuple[Dependency, ...]]) -> tuple[Step, ...]:
    """Return the steps sorted topologically, otherwise as they came."""
    position = {step.id: index for index, step in enumerate(steps)}
    waiting = {step.id: len(dependencies[step.id]) for step in steps}
    later: dict[str, list[str]] = {}
    for step in steps:
        for dependency in dependencies[step.id]:
            later.setdefault(dependency.on, []).append(step.id)
    ready = [position[name] for name, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    ordered: list[Step] = []
    while ready:
        step = steps[heapq.heappop(ready)]
        ordered.append(step)
        for name in later.get(step.id, ()):
            waiting[name] -= 1
            if waiting[name] == 0:
                heapq.heappush(ready, position[name])
    if len(ordered) < len(steps):
        raise InvariantError(_cycle_message({name for name, count in waiting.items() if count > 0}, dependencies), code="cycle")
    return tuple(ordered)


def _cycle_message(left: set[str], dependencies: Mapping[str, tuple[Dependency, ...]]) -> str:
    """Return a cycle among the steps that are left, each of which waits for another of them."""
    path: list[tuple[str, str]] = []
    seen: dict[str, int] = {}
    name = min(left)
    while name not in seen:
        seen[name] = len(path)
        dependency = next(found for found in dependencies[name] if found.on in left)
        path.append((name, dependency.rule))
        name = dependency.on
    steps = [f"{step} waits ({rule}) for" for step, rule in path[seen[name] :]]
    return f"these resources wait for one another: {' '.join(steps)} {name}"
