"""A bundle on the machine that it is for: its files put where nodeup looks for them, and what a run then finds.

/var/lib/node-agents/nodeup/bundle/   manifest.json, boot/ and state/: keys and secrets are in it, mode 0600
<cache>/                              assets, under the names that downloads have
<cache>/images/, <cache>/packages/    archives of images, packages
/opt/kops/bin/nodeup                  our executable
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.errors import NotFoundError, SpecError, TransientError
from agents.host.atomic import durable_write, make_directories
from agents.host.os_errors import os_errors
from agents.host.protocol import Host
from nodeup.assets.cache import architecture
from nodeup.assets.download import DISK_FULL, cache_name
from nodeup.bundle.archive import read_bundle, verify_bundle
from nodeup.bundle.manifest import BOOT_CONFIG, MANIFEST, BundledImage, BundleManifest, Entry, decode_manifest, encode_manifest
from nodeup.bundle.state import BundledState
from nodeup.resources.image import ImageArchive
from nodeup.resources.protocol import STATE_DIRECTORY

DIRECTORY = f"{STATE_DIRECTORY}/bundle"
#: Where user data puts nodeup, and where the agents' links lead.
EXECUTABLE = "/opt/kops/bin/nodeup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """What a bundle brought to this machine."""

    host: Host
    cache: str
    manifest: BundleManifest

    @property
    def conf(self) -> str:
        """The path by which this process opens the boot configuration."""
        return self.host.local_path(f"{DIRECTORY}/{BOOT_CONFIG}")

    def state(self, environment: Mapping[str, str]) -> BundledState:
        """Return what answers for the state stores."""
        return BundledState(host=self.host, directory=DIRECTORY, manifest=self.manifest, environment=environment)

    def images(self) -> tuple[ImageArchive, ...]:
        """Return the images that containerd must be given before kubelet starts."""
        return tuple(self._import(image) for image in self._own_images() if image.is_run)

    def image_archives(self) -> dict[str, str]:
        """Return the machine's path of each image's archive, by the image's name."""
        return {image.reference: _place(self._entry(image.path), self.cache) for image in self._own_images()}

    def packages(self) -> tuple[str, ...]:
        """Return the machine's paths of the packages."""
        return tuple(_place(entry, self.cache) for entry in self.manifest.below(f"packages/{architecture()}"))

    def _own_images(self) -> Iterator[BundledImage]:
        return (image for image in self.manifest.images if image.architecture == architecture())

    def _import(self, image: BundledImage) -> ImageArchive:
        # Never opened: it is in the cache under its hash.
        return ImageArchive(sources=(f"bundle:{image.path}",), hash=f"sha256:{self._entry(image.path).sha256}")

    def _entry(self, path: str) -> Entry:
        return next(entry for entry in self.manifest.entries if entry.path == path)


def seed(path: Path, host: Host, cache: str, *, sha256: str = "") -> Seeded:
    """Verify a bundle's file as a whole, and only then put its files in their places, each in one step.

    The manifest comes last: without it, what an interrupted seeding left is not used. SpecError for a bundle of other architectures,
    TransientError with code "disk-full" where there is no room for it.
    """
    manifest = verify_bundle(path, sha256=sha256)
    if architecture() not in manifest.architectures:
        raise SpecError(f"{path} is for {', '.join(manifest.architectures)}, and this machine is {architecture()}", code="bundle")
    _check_room(manifest, host, cache)
    host.remove(f"{DIRECTORY}/{MANIFEST}")
    host.make_directory(DIRECTORY, mode=0o700)

    def put(entry: Entry, pieces: Iterator[bytes]) -> None:
        if not _is_for_us(entry):
            for _ in pieces:
                pass
            return
        place = _place(entry, cache)
        target = Path(host.local_path(place))
        with os_errors("write", place):
            make_directories(target.parent, mode=0o700 if place.startswith(DIRECTORY) else 0o755)
            durable_write(target, pieces, mode=_mode(entry, place))

    read_bundle(path, put)
    _remove_former(manifest, host)
    host.write(f"{DIRECTORY}/{MANIFEST}", encode_manifest(manifest), mode=0o600)
    return Seeded(host=host, cache=cache, manifest=manifest)


def open_seeded(host: Host, cache: str) -> Seeded:
    """Return what a bundle brought to this machine earlier; NotFoundError where none did."""
    try:
        content = host.read(f"{DIRECTORY}/{MANIFEST}")
    except NotFoundError as error:
        raise NotFoundError("no bundle was applied to this machine", hint="nodeup bundle apply FILE") from error
    return Seeded(host=host, cache=cache, manifest=decode_manifest(content, where=f"{DIRECTORY}/{MANIFEST}"))


def _place(entry: Entry, cache: str) -> str:
    """Return the machine's path for a file of a bundle."""
    room, _, rest = entry.path.partition("/")
    match room:
        case "assets" | "packages":
            return f"{cache.rstrip('/')}/{rest if room == 'assets' else entry.path}"
        case "images":
            return f"{cache.rstrip('/')}/{cache_name((entry.path,), entry.sha256)}"
        case "bin":
            return EXECUTABLE
        case _:
            return f"{DIRECTORY}/{entry.path}"


def _is_for_us(entry: Entry) -> bool:
    room, _, rest = entry.path.partition("/")
    return room not in {"bin", "packages"} or rest.startswith(f"{architecture()}/")


def _mode(entry: Entry, place: str) -> int:
    if entry.path.startswith("bin/"):
        return 0o755
    return 0o600 if place.startswith(DIRECTORY) else 0o644


def _check_room(manifest: BundleManifest, host: Host, cache: str) -> None:
    directory = Path(host.local_path(cache))
    while not directory.exists():
        directory = directory.parent
    found = os.statvfs(directory)
    free = found.f_bavail * found.f_frsize
    if manifest.size_bytes > free:
        raise TransientError(
            f"the bundle needs {manifest.size_bytes / 1e6:.1f} MB, and {cache} has {free / 1e6:.1f} MB left; nothing was changed",
            code=DISK_FULL,
            hint=f"make room: `df -h {cache}`; or name another place with --cache",
        )


def _remove_former(manifest: BundleManifest, host: Host) -> None:
    """Remove state that an earlier bundle brought and this one does not."""
    kept = {entry.path for entry in manifest.entries}
    local = Path(host.local_path(DIRECTORY))
    for file in sorted(local.glob("state/**/*"), reverse=True):
        path = str(file.relative_to(local))
        if file.is_file() and path not in kept:
            host.remove(f"{DIRECTORY}/{path}")
