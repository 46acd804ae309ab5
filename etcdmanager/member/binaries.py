"""Which etcd lies on this machine, by the version that it reports itself, and which one runs a wanted version.

The Go program looks for a directory named for the version and believes the name; kops mounts newer patches under older
names (reference, sections 1.9 and 5.4), so a name is a wish and `etcd --version` the truth (B-47).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from agents.errors import NotFoundError, SpecError
from agents.host.protocol import FileKind, Host
from agents.versions import Version

#: Where the Go program looks, with the version put in.
GO_PLACES = (
    "/opt/etcd-v{version}",
    "/opt/etcd-v{version}/usr/local/bin",
    "/tmp/etcd-v{version}",  # noqa: S108  the Go program's own place, last but one
    "/tmp/etcd-v{version}/usr/local/bin",  # noqa: S108
)
_OWN_PLACES = ("{directory}/etcd-v{version}", "{directory}/{version}", "{directory}")
_ASKING = timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdBinaries:
    """One etcd with its tools. `version` is what it says of itself; None for a tool that is not there."""

    version: Version
    directory: str
    etcd: str
    etcdctl: str | None
    etcdutl: str | None


class BinaryShelf:
    """Finds etcds on a machine and remembers what each said; a file that changed is asked again."""

    def __init__(self, host: Host, directories: Sequence[str]) -> None:
        self._host = host
        self._directories = tuple(directories)
        self._known: dict[tuple[str, int, int], Version | None] = {}

    def find(self, wanted: str) -> EtcdBinaries:
        """Return the etcd to run for a wanted version; NotFoundError names the places and what they hold.

        Exactly that version if there is one; else the newest patch of its minor line among the places named for it, which
        is what kops mounts. Never another minor.
        """
        version = Version.parse(wanted)
        candidates = [found for place in self._places(version) if (found := self._look(place)) is not None]
        same_line = [found for found in candidates if (found.version.major, found.version.minor) == (version.major, version.minor)]
        exact = [found for found in same_line if found.version == version]
        usable = exact or [found for found in same_line if found.version > version]
        if usable:
            return max(usable, key=lambda found: found.version) if not exact else exact[0]
        held = ", ".join(f"{found.version} in {found.directory}" for found in candidates) or "none"
        raise NotFoundError(
            f"no etcd for version {version}: found {held}",
            code="etcd-binary-missing",
            hint=f"put etcd, etcdctl and etcdutl into /opt/etcd-v{version}, or name their directory with --binaries",
        )

    def all(self) -> tuple[EtcdBinaries, ...]:
        """Return every etcd in the usual and the named directories, newest first, each directory once."""
        places = [*self._named_places(), *self._listed("/opt")]
        found = {item.directory: item for place in places if (item := self._look(place)) is not None}
        return tuple(sorted(found.values(), key=lambda item: (item.version, item.directory), reverse=True))

    def _places(self, version: Version) -> Iterable[str]:
        for directory in self._directories:
            for place in _OWN_PLACES:
                yield place.format(directory=directory.rstrip("/"), version=version)
        for place in GO_PLACES:
            yield place.format(version=version)

    def _named_places(self) -> Iterable[str]:
        for directory in self._directories:
            yield directory.rstrip("/")
            yield from self._listed(directory.rstrip("/"))

    def _listed(self, directory: str) -> Iterable[str]:
        try:
            names = self._host.list(directory)
        except NotFoundError:
            return
        for name in names:
            if re.fullmatch(r"(etcd-v)?\d+\.\d+\.\d+", name):
                yield f"{directory}/{name}"
                yield f"{directory}/{name}/usr/local/bin"

    def _look(self, directory: str) -> EtcdBinaries | None:
        etcd = f"{directory}/etcd"
        version = self._version_of(etcd)
        if version is None:
            return None
        return EtcdBinaries(
            version=version,
            directory=directory,
            etcd=etcd,
            etcdctl=self._file(f"{directory}/etcdctl"),
            etcdutl=self._file(f"{directory}/etcdutl"),
        )

    def _file(self, path: str) -> str | None:
        stat = self._host.stat(path)
        return path if stat is not None and stat.kind in {FileKind.FILE, FileKind.SYMLINK} else None

    def _version_of(self, etcd: str) -> Version | None:
        stat = self._host.stat(etcd)
        if stat is None or stat.kind not in {FileKind.FILE, FileKind.SYMLINK}:
            return None
        key = (etcd, stat.inode, stat.mtime_ns)
        if key not in self._known:
            self._known[key] = self._ask(etcd)
        return self._known[key]

    def _ask(self, etcd: str) -> Version | None:
        try:
            result = self._host.run([etcd, "--version"], timeout=_ASKING)
            match = re.search(r"etcd Version:\s*(\S+)", result.stdout)
            return Version.parse(match[1]) if match and result.ok else None
        except (NotFoundError, SpecError):
            return None
