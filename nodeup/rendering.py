"""What of a plan can be made in a directory, without a machine: files, certificates and unit files; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.certificate import BootstrapCertificates, Certificate, Kubeconfig
from nodeup.resources.content import FromAsset, Literal
from nodeup.resources.file import Directory, File, Symlink
from nodeup.resources.hosts import HostsBlock
from nodeup.resources.image import ImageFiles
from nodeup.resources.kinds import AnyResource
from nodeup.resources.unit import Unit
from nodeup.resources.user import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Renderable:
    """A plan, cut to what a directory can hold."""

    resources: tuple[AnyResource, ...]
    #: Ids of what was left out.
    left_out: tuple[str, ...]


def renderable(resources: Sequence[AnyResource], *, unit_directory: str, with_assets: bool) -> Renderable:
    """Return the part that needs no commands, and no downloads unless `with_assets`; units become their files."""
    made_users = frozenset(resource.name for resource in resources if isinstance(resource, User))
    kept: list[AnyResource] = []
    left_out: list[str] = []
    for resource in resources:
        part = _part(_without_owners(resource, made_users), unit_directory, with_assets=with_assets)
        if part is None:
            left_out.append(resource.id)
        else:
            kept.append(part)
    return Renderable(resources=tuple(kept), left_out=tuple(left_out))


def _without_owners(resource: AnyResource, names: frozenset[str]) -> AnyResource:
    """Return a file or directory without those owners that only the plan itself would make: nobody knows them here."""
    match resource:
        case File() | Directory():
            owner = None if resource.owner in names else resource.owner
            return replace(resource, owner=owner, group=None if resource.group in names else resource.group)
        case _:
            return resource


def _part(resource: AnyResource, unit_directory: str, *, with_assets: bool) -> AnyResource | None:
    match resource:
        case File(content=FromAsset()) | ArchiveMembers() | ImageFiles() if not with_assets:
            return None
        case File() | Directory():
            return replace(resource, on_change=())
        case Unit() if resource.definition is not None:
            return File(path=f"{unit_directory}/{resource.full_name}", content=Literal(resource.definition.encode()), mode=0o644)
        case ArchiveMembers() | BootstrapCertificates() | Certificate() | HostsBlock() | ImageFiles() | Kubeconfig() | Symlink():
            return resource
        case _:
            return None
