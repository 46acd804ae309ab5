"""Everything that a node's plan takes from outside: assets with their mirrors, and container images; a value to print. Pure.

What of it is in the cache is asked of the cache by who prints it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nodeup.assets.catalog import AssetSource
from nodeup.assets.needed import NeededImage, image_archives, needed_images
from nodeup.engine.graph import Graph
from nodeup.resources.asset import Asset
from nodeup.resources.kinds import AnyResource
from nodeup.spec.node import NodeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetRow:
    """An asset that the plan uses."""

    name: str
    #: "sha256:<hex>"; None where the specification has none, so that it is never used.
    hash: str | None
    urls: tuple[str, ...]
    #: Ids of the resources that take bytes from it.
    used_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Assets in the specification's order, images sorted."""

    assets: tuple[AssetRow, ...]
    images: tuple[NeededImage, ...]


def inventory(spec: NodeSpec, graph: Graph, planned: Sequence[AnyResource], sources: Iterable[AssetSource]) -> Inventory:
    """Return what a plan takes from outside; assets of the specification that nothing uses are left out."""
    users = _users(graph)
    rows = [
        AssetRow(name=source.key, hash=source.hash, urls=source.urls, used_by=users[source.urls[0]])
        for source in sources
        if source.urls[0] in users
    ]
    rows += [
        AssetRow(name=archive.sources[0].rsplit("/", 1)[-1], hash=archive.hash, urls=archive.sources, used_by=(archive.id,))
        for archive in image_archives(planned)
    ]
    return Inventory(assets=tuple(rows), images=needed_images(spec, planned))


def _users(graph: Graph) -> Mapping[str, tuple[str, ...]]:
    """Return who waits for each asset, by the asset's first URL."""
    found: dict[str, tuple[str, ...]] = {}
    for asset in graph.steps:
        if isinstance(asset, Asset):
            waiting = (
                step for step, dependencies in graph.dependencies.items() if any(dependency.on == asset.id for dependency in dependencies)
            )
            found[asset.url] = tuple(sorted(waiting))
    return found
