"""A regular file, a directory or a symlink at a path of the machine."""

from __future__ import annotations

from dataclasses import dataclass

from nodeup.resources.content import Content


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A regular file with these bytes, mode and owners."""

    path: str
    content: Content
    #: Permission bits; None: 0644 when it is made, and never corrected.
    mode: int | None = None
    owner: str | None = None
    group: str | None = None
    #: Only made where nothing stands; an existing file is left as it is (log files).
    only_if_absent: bool = False
    #: argv lists run, in order, after the file changed; the change counts as done when all have exited with 0.
    on_change: tuple[tuple[str, ...], ...] = ()
    #: The services that must not start before this file is there; empty means all of them. Only these wait.
    before_services: tuple[str, ...] = ()
    after_files: tuple[str, ...] = ()
    #: Whether it waits for all packages (a package would bring its own version of the file).
    after_packages: bool = False

    @property
    def id(self) -> str:
        """The unique name."""
        return f"file:{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A directory with this mode and owners; what is in it is of no concern."""

    path: str
    mode: int | None = None
    owner: str | None = None
    group: str | None = None
    on_change: tuple[tuple[str, ...], ...] = ()
    before_services: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The unique name."""
        return f"directory:{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Symlink:
    """A symlink to `target`."""

    path: str
    target: str

    @property
    def id(self) -> str:
        """The unique name."""
        return f"symlink:{self.path}"
