"""Container images: loaded or pulled into containerd's store, or opened to take single files out of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta

from agents.errors import NotFoundError, RefusedError, TransientError
from agents.host.protocol import Host
from nodeup.resources.protocol import STATE_DIRECTORY, RunContext

QUERY_DEADLINE = timedelta(seconds=20)
IMPORT_DEADLINE = timedelta(minutes=10)
#: Kubernetes' namespace in containerd. Without its own time-out ctr tries for as long as it is let where containerd does not run, and a
#: plan would wait for each image.
_CTR = ("ctr", "--connect-timeout", "5s", "--namespace", "k8s.io", "images")
#: Records of imported archives, by the archive's hash: which names it brought.
IMPORTS = f"{STATE_DIRECTORY}/images"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageArchive:
    """An image loaded from the first source that delivers a tarball with this hash."""

    sources: tuple[str, ...]
    #: "sha256:<hex>", as in the specification.
    hash: str
    runtime: str = "containerd"

    @property
    def id(self) -> str:
        """The unique name."""
        return f"image-archive:{self.sources[0].rsplit('/', 1)[-1]}"

    def read(self, host: Host, context: RunContext) -> ImageArchive | None:
        """Return it if the names that an earlier import of this archive brought are all still in containerd's store."""
        try:
            names = json.loads(host.read(self._record))
        except (NotFoundError, ValueError):
            return None
        present = _image_names(host)
        return self if isinstance(names, list) and names and present.issuperset(str(name) for name in names) else None

    def apply(self, host: Host, context: RunContext, actual: ImageArchive | None) -> None:
        """Download the archive, import it, and record which names are new or its own."""
        archive = context.fetch(self.sources, self.hash.removeprefix("sha256:"))
        result = host.run([*_CTR, "import", "--digests", archive], timeout=IMPORT_DEADLINE)
        if not result.ok:
            raise TransientError(f"containerd did not import {self.sources[0]}: {result.stderr.strip()[-2000:]}")
        # ctr prints "unpacking <name> (sha256:…)...done" for each image of the archive.
        names = sorted({line.split()[1] for line in result.stdout.splitlines() if line.startswith("unpacking ") and len(line.split()) > 1})
        host.write(self._record, json.dumps(names).encode() + b"\n", mode=0o600)

    @property
    def _record(self) -> str:
        return f"{IMPORTS}/{self.hash.removeprefix('sha256:')}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledImage:
    """An image that is pulled ahead of its use (warm pools)."""

    name: str

    @property
    def id(self) -> str:
        """The unique name."""
        return f"image:{self.name}"

    def read(self, host: Host, context: RunContext) -> PulledImage | None:
        """Return it if containerd's store has the name."""
        return self if self.name in _image_names(host) else None

    def apply(self, host: Host, context: RunContext, actual: PulledImage | None) -> None:
        """Pull it, without credentials."""
        result = host.run([*_CTR, "pull", self.name], timeout=IMPORT_DEADLINE)
        if not result.ok:
            raise TransientError(f"containerd did not pull {self.name}: {result.stderr.strip()[-2000:]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFiles:
    """Single files out of a container image of a registry, in `directory` under their base names.

    The native profile runs etcd without containers; the image of the etcd manifests is where kops has its binaries.
    """

    #: "registry.k8s.io/etcd:3.5.16-0", possibly with a digest.
    image: str
    #: Absolute paths in the image.
    paths: tuple[str, ...]
    directory: str
    architecture: str
    mode: int = 0o755
    before_services: tuple[str, ...] = ()
    #: Registry mirrors by host name, tried before the registry itself.
    mirrors: tuple[tuple[str, str], ...] = ()
    #: The paths whose installed files are missing or differ, only set by read: () in a plan.
    differing: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The unique name."""
        return f"image-files:{self.directory}"

    def read(self, host: Host, context: RunContext) -> ImageFiles | None:
        """Return which files differ from what was once taken out of this image; None where that never happened."""
        try:
            record = json.loads(host.read(self._record))
        except (NotFoundError, ValueError):
            return None
        if not isinstance(record, dict) or record.get("image") != self.image:
            return replace(self, image=str(record.get("image")) if isinstance(record, dict) else "")
        digests = record.get("files")
        return replace(self, differing=tuple(p for p in self.paths if not self._is_installed(p, digests, host, context)))

    def apply(self, host: Host, context: RunContext, actual: ImageFiles | None) -> None:
        """Fetch the image's layers, verified by their digests, install the files, and record what they are."""
        digests = {}
        for path, source in context.image_files(self.image, self.paths, self.architecture, self.mirrors).items():
            destination = self.destination(path)
            host.install(source, destination, mode=self.mode)
            digests[path] = context.digest(destination)
        record = {"image": self.image, "files": digests}
        host.write(self._record, json.dumps(record, indent=1, sort_keys=True).encode() + b"\n", mode=0o600)

    @property
    def _record(self) -> str:
        return f"{STATE_DIRECTORY}/image-files/{self.directory.strip('/').replace('/', '_')}.json"

    def destination(self, path: str) -> str:
        """Return where a file of the image is installed."""
        return f"{self.directory.rstrip('/')}/{path.rsplit('/', 1)[-1]}"

    def _is_installed(self, path: str, digests: object, host: Host, context: RunContext) -> bool:
        destination = self.destination(path)
        stat = host.stat(destination)
        if stat is None or stat.mode != self.mode or not isinstance(digests, dict):
            return False
        return context.digest(destination) == digests.get(path)


def _image_names(host: Host) -> frozenset[str]:
    """Return the names in containerd's store; none while it does not run."""
    try:
        result = host.run([*_CTR, "list", "--quiet"], timeout=QUERY_DEADLINE)
    except (NotFoundError, RefusedError):
        return frozenset()
    return frozenset(result.stdout.split()) if result.ok else frozenset()
