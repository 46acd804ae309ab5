"""A system user with a fixed uid."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user; the home directory is recorded, not made."""

    name: str
    uid: int
    shell: str
    home: str = ""

    @property
    def id(self) -> str:
        """The unique name."""
        return f"user:{self.name}"
