"""The files that nodeup downloads: found in a directory, or only named where there is none."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agents.errors import SpecError

ARCHITECTURES = ("amd64", "arm64")

#: What is an asset, by its path, in the order in which kops lists them; other files of a directory are not.
#: etcd is not in kops' list (it comes as an image there): our native profile installs it to /opt/etcd-v<version>/.
ASSET_PATTERNS = (
    r"(^|/)kubelet$",
    r"(^|/)kubectl$",
    r"(^|/)ecr-credential-provider-linux-[a-z0-9]+$",
    r"(^|/)cni-plugins-linux-[^/]+\.tgz$",
    r"(^|/)containerd-[0-9][^/]*\.tar\.gz$",
    r"(^|/)runc\.[a-z0-9]+$",
    r"(^|/)nerdctl-[^/]+\.tar\.gz$",
    r"(^|/)crictl-[^/]+\.tar\.gz$",
    r"(^|/)etcd-v[0-9][^/]*\.tar\.gz$",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetFile:
    """One file for machines of one architecture."""

    architecture: str
    url: str
    sha256: str

    @property
    def name(self) -> str:
        """The last part of its URL."""
        return self.url.rpartition("/")[2]

    def __str__(self) -> str:
        return f"{self.sha256}@{self.url}"


def find_assets(directory: Path, base_url: str) -> tuple[AssetFile, ...]:
    """Return the assets in a directory that is served at `base_url`, with their hashes, in kops' order.

    The architecture is the one that a file's path below the directory names. SpecError where there is nothing to find.
    """
    paths = sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())
    found = [
        AssetFile(architecture=architecture, url=f"{base_url.rstrip('/')}/{path}", sha256=_sha256(directory / path))
        for path in _in_order(paths)
        for architecture in ARCHITECTURES
        if architecture in path
    ]
    if not found:
        raise SpecError(f"{directory} holds no assets; wanted files such as …/linux/amd64/kubelet or containerd-2.3.4-linux-amd64.tar.gz")
    return tuple(found)


def placeholder_assets(paths: Iterable[str], base_url: str) -> tuple[AssetFile, ...]:
    """Return assets that exist nowhere, with hashes of their names: good for planning and rendering, not for applying."""
    return tuple(
        AssetFile(architecture=architecture, url=f"{base_url.rstrip('/')}/{path}", sha256=hashlib.sha256(path.encode()).hexdigest())
        for path in _in_order(paths)
        for architecture in ARCHITECTURES
        if architecture in path
    )


def _in_order(paths: Iterable[str]) -> list[str]:
    ranked = ((_rank(path), path) for path in paths)
    return [path for rank, path in sorted(ranked) if rank < len(ASSET_PATTERNS)]


def _rank(path: str) -> int:
    return next((rank for rank, pattern in enumerate(ASSET_PATTERNS) if re.search(pattern, path)), len(ASSET_PATTERNS))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
