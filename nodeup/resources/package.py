"""A package of the distribution, and a source that packages come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that is installed and configured, in whatever version the distribution's sources give."""

    name: str

    @property
    def id(self) -> str:
        """The unique name."""
        return f"package:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSource:
    """A source of packages with its signing key."""

    name: str
    keyring_url: str
    #: Lines of the sources list, without newlines.
    sources: tuple[str, ...]

    @property
    def id(self) -> str:
        """The unique name."""
        return f"apt-source:{self.name}"
