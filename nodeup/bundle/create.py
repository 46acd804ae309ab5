"""Making a bundle: what a node's plan needs from outside, fetched, verified, and written as one file."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from agents.documents import load_yaml
from agents.errors import SpecError
from agents.host.os_errors import os_errors
from nodeup.assets.download import Downloader, cache_name
from nodeup.assets.inventory import AssetRow, Inventory, inventory
from nodeup.assets.needed import registry_mirrors
from nodeup.assets.oci_archive import TarEntry, save_image, write_tar
from nodeup.assets.transport import Transport
from nodeup.bundle.manifest import BOOT_CONFIG, MANIFEST, BundledImage, BundleManifest, Entry, encode_manifest
from nodeup.bundle.state import StateRecorder
from nodeup.engine.graph import build_graph
from nodeup.facts import Facts
from nodeup.load import load_node_spec, secret_places
from nodeup.planners import context_of, plan
from nodeup.planners.context import Profile
from nodeup.resources.asset import Asset
from nodeup.resources.package import Package
from nodeup.spec.boot import BootConfig, decode_boot_config
from nodeup.spec.node import NodeSpec

#: As many transfers as an apply has (`nodeup.engine.converge.LIMITS`).
TRANSFERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a bundle is to be of."""

    #: The bytes of kube_env.yaml.
    boot_config: bytes
    environment: Mapping[str, str]
    profile: Profile
    architectures: tuple[str, ...]
    with_secrets: bool
    with_images: bool
    #: For a node that asks kops-controller: the cluster's directory in the state store, where its configuration is found here.
    config_base: str
    #: Of registries, before those that the specification names.
    mirrors: tuple[tuple[str, str], ...]
    #: Our executable by architecture; none: it is left out.
    executables: Mapping[str, Path]
    #: Packages (.deb) by architecture; none: they are only listed.
    packages: Mapping[str, tuple[Path, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a plan of one architecture takes from outside."""

    found: Inventory
    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """With what a bundle is made."""

    #: Where fetched files are kept; what is there already, and right, is not fetched.
    cache: Path
    #: Told what goes on.
    say: Callable[[str], None]
    transport: Transport


def load_and_record(wanted: Wanted) -> tuple[NodeSpec, StateRecorder]:
    """Return the node's specification and what was read for it; SpecError for a worker of which it is not said where that is."""
    boot = decode_boot_config(load_yaml(wanted.boot_config, where="boot configuration"), where="boot configuration")
    recorder = StateRecorder(wanted.environment)
    return load_node_spec(_readable(boot, wanted), wanted.environment, open_blobs=recorder.open), recorder


def planned_for(spec: NodeSpec, facts: Facts, profile: Profile) -> Planned:
    """Return what a node of these facts takes from outside; pure."""
    resources = plan(spec, facts, profile)
    sources = context_of(spec, facts, profile).catalog.sources
    graph = build_graph(resources, tuple(Asset(key=source.key, url=source.urls[0]) for source in sources))
    packages = tuple(sorted({resource.name for resource in resources if isinstance(resource, Package)}))
    return Planned(found=inventory(spec, graph, resources, sources), packages=packages)


def create_bundle(wanted: Wanted, spec: NodeSpec, recorder: StateRecorder, facts: Facts, means: Means, out: Path) -> BundleManifest:
    """Fetch what is missing, and write the bundle, with mode 0600; the same inputs give the same bytes."""
    by_architecture = {name: planned_for(spec, replace(facts, architecture=name), wanted.profile) for name in wanted.architectures}
    files: dict[str, bytes | Path] = {BOOT_CONFIG: wanted.boot_config}
    # A worker reads nothing of a state store: kops-controller tells it.
    if not _is_told(spec.boot, wanted):
        files |= recorder.files(without=() if wanted.with_secrets else secret_places(spec))
    rows = {row.hash: row for planned in by_architecture.values() for row in planned.found.assets}
    files |= _assets(tuple(rows.values()), means)
    images = _images(by_architecture, (*wanted.mirrors, *registry_mirrors(spec)), means) if wanted.with_images else ()
    files |= {image.path: _archive(image.path, means.cache) for image in images}
    files |= {f"bin/{name}/nodeup": path for name, path in wanted.executables.items()}
    files |= {f"packages/{name}/{path.name}": path for name, paths in wanted.packages.items() for path in paths}
    manifest = BundleManifest(
        cluster_name=spec.cluster_name,
        instance_group=spec.boot.instance_group,
        role=spec.boot.role.value,
        kubernetes_version=str(spec.kubernetes_version),
        architectures=wanted.architectures,
        with_secrets=wanted.with_secrets,
        packages=tuple(sorted({name for planned in by_architecture.values() for name in planned.packages})),
        distribution=facts.distribution.id if wanted.packages else "",
        images=images,
        entries=tuple(_entry(path, files[path]) for path in sorted(files)),
    )
    means.say(f"writing {out}, {manifest.size_bytes / 1e6:.1f} MB")
    _write(out, manifest, files)
    return manifest


def _readable(boot: BootConfig, wanted: Wanted) -> BootConfig:
    """Return a boot configuration that leads to the state store: of a worker it leads to kops-controller, which answers only the node."""
    if boot.config_server is None:
        return boot
    if not wanted.config_base:
        raise SpecError(
            f"nodes of instance group {boot.instance_group} get their configuration from kops-controller, which tells only them",
            hint="say with --config-base where the cluster is in the state store, e.g. s3://bucket/cluster.example.com",
        )
    return replace(boot, config_server=None, config_base=wanted.config_base)


def _is_told(boot: BootConfig, wanted: Wanted) -> bool:
    """Whether the node itself is told by kops-controller; `boot` is what `_readable` returned."""
    return bool(wanted.config_base) and boot.config_base == wanted.config_base


def _assets(rows: Sequence[AssetRow], means: Means) -> dict[str, Path]:
    downloader = Downloader(means.cache, transport=means.transport)

    def bring(row: AssetRow) -> tuple[str, Path]:
        digest = (row.hash or "").removeprefix("sha256:")
        if row.hash is None or digest == row.hash:
            raise SpecError(f"asset {row.urls[0]} has no SHA-256 in the node's asset list, so it is not used")
        name = cache_name(row.urls, digest)
        file = means.cache / name
        if not file.is_file() or _sha256(file) != digest:
            means.say(f"downloading {row.name} from {row.urls[0]}")
            downloader.fetch(name, row.urls, digest)
        return f"assets/{name}", file

    with ThreadPoolExecutor(max_workers=TRANSFERS, thread_name_prefix="bundle") as pool:
        return dict(pool.map(bring, rows))


def _images(by_architecture: Mapping[str, Planned], mirrors: Sequence[tuple[str, str]], means: Means) -> tuple[BundledImage, ...]:
    """Fetch all images into archives, and return them."""
    bundled = []
    blobs = means.cache / "blobs"
    for name, planned in by_architecture.items():
        for image in planned.found.images:
            path = f"images/{re.sub(r'[^A-Za-z0-9._-]', '_', image.reference)}_{name}.tar"
            means.say(f"fetching image {image.reference} for {name}")
            with os_errors("write", str(means.cache)):
                blobs.mkdir(parents=True, exist_ok=True)
                save_image(image.reference, architecture=name, mirrors=mirrors, directory=blobs, out=_archive(path, means.cache))
            bundled.append(BundledImage(reference=image.reference, architecture=name, path=path, is_run=image.is_run))
    return tuple(bundled)


def _archive(path: str, cache: Path) -> Path:
    return cache / path.removeprefix("images/")


def _entry(path: str, content: bytes | Path) -> Entry:
    if isinstance(content, bytes):
        return Entry(path=path, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    return Entry(path=path, sha256=_sha256(content), size_bytes=content.stat().st_size)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(out: Path, manifest: BundleManifest, files: Mapping[str, bytes | Path]) -> None:
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    entries = [TarEntry(path=MANIFEST, content=encode_manifest(manifest), mode=0o600)]
    entries += [TarEntry(path=entry.path, content=files[entry.path], mode=_mode(entry.path)) for entry in manifest.entries]
    with os_errors("write", str(out)):
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                write_tar(file, entries)
                file.flush()
                os.fsync(descriptor)
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)


def _mode(path: str) -> int:
    if path.startswith("bin/"):
        return 0o755
    return 0o600 if path.startswith(("boot/", "state/")) else 0o644
