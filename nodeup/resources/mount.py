"""Bind mounts of distributions with read-only or noexec roots, and formatted extra volumes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BindMount:
    """A bind mount, remounted with `options`."""

    source: str
    mountpoint: str
    options: tuple[str, ...] = ()
    recursive: bool = False

    @property
    def id(self) -> str:
        """The unique name."""
        return f"bind-mount:{self.mountpoint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormattedVolume:
    """A block device mounted at a path, formatted first if, and only if, it is blank."""

    device: str
    path: str
    filesystem: str
    mount_options: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The unique name."""
        return f"volume:{self.path}"
