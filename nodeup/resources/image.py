"""A container image in containerd's store, from tarballs or from a registry."""

from __future__ import annotations

from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledImage:
    """An image that is pulled ahead of its use (warm pools)."""

    name: str

    @property
    def id(self) -> str:
        """The unique name."""
        return f"image:{self.name}"
