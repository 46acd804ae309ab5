"""The asset cache of a machine: what is in it, verified, and how it gets there.

<cache>/sha256:<hex>_<name>              a file, in kops' layout
<cache>/extracted/sha256:<hex>_<name>/   the regular files of an archive
<cache>/images/<name>/                   files taken out of container images
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from agents.errors import NotFoundError, SpecError
from agents.host.protocol import Host
from nodeup.assets.archive import Member, unpack, unpacked_members
from nodeup.assets.catalog import AssetSource
from nodeup.assets.download import Downloaded, Downloader, cache_name
from nodeup.assets.transport import Transport

#: kops' default of --cache.
CACHE_DIRECTORY = "/var/cache/nodeup"


class AssetCache:
    """Assets by key and URL; everything that it hands out was verified, in this run or when it was last changed."""

    def __init__(
        self,
        host: Host,
        directory: str,
        sources: Iterable[AssetSource],
        *,
        digest: Callable[[str], str],
        transport: Transport | None = None,
        image_archives: Mapping[str, str] | None = None,
    ) -> None:
        """`image_archives` are the machine's paths of images that need not be fetched (`nodeup.assets.oci_archive`), by their names."""
        self._host = host
        self._directory = directory.rstrip("/")
        self._sources = {source.urls[0]: source for source in sources}
        self._digest = digest
        self._image_archives = dict(image_archives or {})
        self._transport = Transport() if transport is None else transport
        self._lock = threading.Lock()
        self._members: dict[str, tuple[Member, ...]] = {}
        self._downloaded: list[Downloaded] = []

    @property
    def directory(self) -> str:
        """The machine's path of the cache."""
        return self._directory

    @property
    def sources(self) -> tuple[AssetSource, ...]:
        """The node's asset list."""
        return tuple(self._sources.values())

    def source_names(self) -> dict[str, str]:
        """Return the names in the cache of the assets that have a SHA-256, by their first URL."""
        return {url: _name(source) for url, source in self._sources.items() if (source.hash or "").startswith("sha256:")}

    def kept_names(self) -> frozenset[str]:
        """Return the names in the cache of a bundle's images: they cannot be fetched again."""
        return frozenset(path.rsplit("/", 1)[-1] for path in self._image_archives.values())

    @property
    def _local(self) -> Path:
        """Where this process finds the cache."""
        return Path(self._host.local_path(self._directory))

    @property
    def downloaded(self) -> tuple[Downloaded, ...]:
        """What this process has downloaded so far."""
        return tuple(self._downloaded)

    def has(self, url: str) -> bool:
        """Return whether an asset is there with the right hash, and unpacked if it is an archive."""
        source = self._source(url)
        path = self._path(source)
        if self._host.stat(path) is None or self._digest(path) != _sha256(source):
            return False
        return not source.is_archive or self._unpacked(source) is not None

    def bring(self, url: str) -> None:
        """Download what is not there, verify it, and unpack an archive."""
        source = self._source(url)
        path = self._path(source)
        if self._host.stat(path) is None or self._digest(path) != _sha256(source):
            self._fetch(source.urls, _sha256(source))
        if source.is_archive and self._unpacked(source) is None:
            members = unpack(Path(self._host.local_path(path)), self._unpacked_directory(source))
            with self._lock:
                self._members[source.urls[0]] = members

    def fetch(self, urls: Sequence[str], sha256: str | None) -> str:
        """Return the machine's path of a file that is no asset of the list; one without a hash is fetched anew each time."""
        path = f"{self._directory}/{cache_name(urls, sha256)}"
        if sha256 is None or self._host.stat(path) is None or self._digest(path) != sha256:
            self._fetch(urls, sha256)
        return path

    def file(self, path: str) -> str:
        """Return the machine's path of an asset (by URL) or of a member (by path in its archive); NotFoundError while it is not there."""
        if path in self._sources:
            if not self.has(path):
                raise NotFoundError(f"{path} is not in the cache {self._directory} yet")
            return self._path(self._sources[path])
        source, member = self._member(path)
        return f"{self._directory}/extracted/{_name(source)}/{member.path}"

    def digest(self, path: str) -> str | None:
        """Return the hash that an asset or member must have; None for a member of an archive that is not unpacked."""
        if path in self._sources:
            return _sha256(self._sources[path])
        try:
            return self._member(path)[1].sha256
        except NotFoundError:
            return None

    def members(self, url: str) -> tuple[Member, ...]:
        """Return the members of an archive; NotFoundError while it is not unpacked."""
        members = self._unpacked(self._source(url))
        if members is None:
            raise NotFoundError(f"{url} is not unpacked in the cache {self._directory} yet")
        return members

    def member_file(self, url: str, member: Member) -> str:
        """Return the machine's path of a member."""
        return f"{self._directory}/extracted/{_name(self._source(url))}/{member.path}"

    def image_files(self, image: str, paths: Sequence[str], architecture: str, mirrors: Sequence[tuple[str, str]]) -> Mapping[str, str]:
        """Return the machine's paths of files out of a container image: out of its archive where there is one, else of its registry.

        RefusedError where there is none and nobody may be asked.
        """
        directory = self._local / "images"
        taken = self._taken(image, paths, architecture, mirrors, directory)
        return {path: f"{self._directory}/images/{file.relative_to(directory)}" for path, file in taken.items()}

    def _taken(
        self, image: str, paths: Sequence[str], architecture: str, mirrors: Sequence[tuple[str, str]], directory: Path
    ) -> Mapping[str, Path]:
        from nodeup.assets.image import image_directory, take_files
        from nodeup.assets.oci_archive import files_of_archive
        from nodeup.assets.registry import parse_reference

        if image in self._image_archives:
            archive = Path(self._host.local_path(self._image_archives[image]))
            return files_of_archive(archive, paths, image_directory(directory, parse_reference(image)))
        self._transport.refuse_if_offline(image)
        return take_files(image, paths, architecture=architecture, mirrors=mirrors, directory=directory)

    def _fetch(self, urls: Sequence[str], sha256: str | None) -> None:
        downloaded = Downloader(self._local, transport=self._transport).fetch(cache_name(urls, sha256), urls, sha256)
        with self._lock:
            self._downloaded.append(downloaded)

    def _source(self, url: str) -> AssetSource:
        try:
            return self._sources[url]
        except KeyError:
            raise NotFoundError(f"the node's asset list has no {url}") from None

    def _path(self, source: AssetSource) -> str:
        return f"{self._directory}/{_name(source)}"

    def _unpacked_directory(self, source: AssetSource) -> Path:
        return self._local / "extracted" / _name(source)

    def _unpacked(self, source: AssetSource) -> tuple[Member, ...] | None:
        with self._lock:
            known = self._members.get(source.urls[0])
        if known is None:
            known = unpacked_members(self._unpacked_directory(source))
            if known is not None:
                with self._lock:
                    self._members[source.urls[0]] = known
        return known

    def _member(self, path: str) -> tuple[AssetSource, Member]:
        for source in self._sources.values():
            for member in (self._unpacked(source) or ()) if source.is_archive else ():
                if member.path == path:
                    return source, member
        raise NotFoundError(f"no unpacked archive in the cache {self._directory} has a file {path}")


def architecture() -> str:
    """Return the machine's architecture as kops names it; SpecError for one that kops has no binaries for."""
    machine = platform.machine().lower()
    names = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    if machine not in names:
        raise SpecError(f"architecture {machine} is not supported; supported are amd64 and arm64")
    return names[machine]


def _name(source: AssetSource) -> str:
    return cache_name(source.urls, _sha256(source))


def _sha256(source: AssetSource) -> str:
    """Return an asset's hash; SpecError without one: nothing is executed that cannot be verified."""
    if source.hash is None or not source.hash.startswith("sha256:"):
        raise SpecError(
            f"asset {source.urls[0]} has no SHA-256 in the node's asset list (found {source.hash or 'no hash'}), so it is not used"
        )
    return source.hash.removeprefix("sha256:")
