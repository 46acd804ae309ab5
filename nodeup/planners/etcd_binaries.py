"""etcd's binaries for the native profile, under /opt/etcd-v<version>: from an asset where one is listed, else from kops' image."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nodeup.assets.catalog import AssetSource
from nodeup.planners.context import PlanContext
from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.image import ImageFiles
from nodeup.resources.kinds import AnyResource
from nodeup.spec.etcd_manifest import EtcdImage, EtcdManifest

#: The programs that etcd-manager runs; 3.4 has no etcdutl.
_PROGRAMS = ("etcd", "etcdctl", "etcdutl")
_ARCHIVE = re.compile(r"etcd-v(\d+\.\d+\.\d+)-linux-[a-z0-9]+\.tar\.gz")
#: Where registry.k8s.io's etcd image has its programs.
_IN_IMAGE = "/usr/local/bin"


def plan_etcd_binaries(
    context: PlanContext, manifests: tuple[EtcdManifest, ...], *, before_services: tuple[str, ...]
) -> Iterator[AnyResource]:
    """Plan all versions that any of the clusters may run."""
    archives = _archives(context)
    for version, source in archives.items():
        yield ArchiveMembers(
            key=source.key,
            url=source.urls[0],
            pattern=rf"^[^/]+/({'|'.join(_PROGRAMS)})$",
            directory=_directory(version),
            before_services=before_services,
        )
    wanted = {image.reference: image for manifest in manifests for image in _wanted_images(manifest)}
    for image in wanted.values() if not archives else ():
        yield ImageFiles(
            image=image.reference,
            paths=tuple(f"{_IN_IMAGE}/{program}" for program in _PROGRAMS),
            directory=_directory(image.versions[-1]),
            architecture=context.facts.architecture,
            before_services=before_services,
        )


def binary_directories(context: PlanContext, manifest: EtcdManifest) -> tuple[str, ...]:
    """Return where the binaries for one cluster are; etcd-manager asks each for its version."""
    archives = _archives(context)
    versions = tuple(archives) or tuple(image.versions[-1] for image in _wanted_images(manifest))
    return tuple(_directory(version) for version in versions)


def _archives(context: PlanContext) -> dict[str, AssetSource]:
    matches = ((_ARCHIVE.fullmatch(source.key), source) for source in context.catalog.sources)
    return {match[1]: source for match, source in matches if match}


def _wanted_images(manifest: EtcdManifest) -> tuple[EtcdImage, ...]:
    """Return the one image of a version that is fixed, else all: the version in the backup store may be any that kops mounts."""
    if manifest.static is None:
        return manifest.images
    version = manifest.static.etcd_version
    return tuple(image for image in manifest.images if version in image.versions) or manifest.images


def _directory(version: str) -> str:
    return f"/opt/etcd-v{version}"
