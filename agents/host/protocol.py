"""The Host protocol: everything an agent may do to the machine it runs on.

Paths are absolute paths *of the machine* ("/etc/hosts"); a RootedHost maps them below a directory. Nothing here
decides anything. Implementations: `agents.host.local`, `agents.host.rooted`, and `tests.fakes.host`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Protocol


class FileKind(Enum):
    """What stands at a path."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    BLOCK_DEVICE = "block-device"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStat:
    """What lstat says, in names: `mode` is the permission bits (0o644), owners are names, or numbers as text."""

    kind: FileKind
    mode: int
    owner: str
    group: str
    size_bytes: int
    mtime_ns: int
    #: Where a symlink points, as written in it; None for everything else.
    target: str | None = None
    #: (st_dev major, minor) of the file system that holds it.
    device: tuple[int, int] = (0, 0)
    #: (st_rdev major, minor) of a device node; None for everything else.
    rdev: tuple[int, int] | None = None
    inode: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """How a command ended. Output is text; bytes that are not UTF-8 are replaced."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str
    duration: timedelta = field(default_factory=timedelta)

    @property
    def ok(self) -> bool:
        """Whether it exited with 0."""
        return self.exit_code == 0


class Host(Protocol):
    """The machine. Missing files are None or NotFoundError as said; EACCES and EROFS are AccessError, ENOSPC and EIO TransientError."""

    def stat(self, path: str) -> FileStat | None:
        """Return what stands at `path` without following a final symlink; None where nothing does."""
        ...

    def read(self, path: str) -> bytes:
        """Return a file's bytes, following symlinks; NotFoundError where there is none."""
        ...

    def list(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory, sorted; NotFoundError where it is missing."""
        ...

    def write(self, path: str, content: bytes, *, mode: int = 0o644, owner: str | None = None, group: str | None = None) -> None:
        """Replace a file in one step that survives a power cut: temporary file, fsync, rename, fsync of the directory.

        Missing parents are made with mode 0755. The temporary file is never inside a directory that kubelet
        watches under a name that kubelet would read (it starts with a dot).
        """
        ...

    def write_in_place(self, path: str, content: bytes) -> None:
        """Overwrite a file keeping its inode, for files that may be bind-mounted (/etc/hosts)."""
        ...

    def install(self, source: str, path: str, *, mode: int, owner: str | None = None, group: str | None = None) -> None:
        """Replace `path` by a copy of the machine's file `source`, atomically; cloned or copied in the kernel where possible."""
        ...

    def make_directory(self, path: str, *, mode: int = 0o755, owner: str | None = None, group: str | None = None) -> None:
        """Make a directory and its parents; an existing one gets the mode and owners."""
        ...

    def symlink(self, path: str, target: str) -> None:
        """Make or atomically replace a symlink; ConflictError where something that is no symlink stands there."""
        ...

    def set_attributes(self, path: str, *, mode: int | None = None, owner: str | None = None, group: str | None = None) -> None:
        """Change mode and owners without following symlinks."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, symlink or empty directory; nothing happens where there is none."""
        ...

    def rename(self, source: str, path: str) -> None:
        """Rename within a file system, and make that durable."""
        ...

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: timedelta,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> CommandResult:
        """Run a command, never through a shell, and wait for it; DeadlineError (after killing its process group) when `timeout` ends.

        A non-zero exit is an answer, not an error. A program that does not exist is NotFoundError.
        `environment` is added to a small clean one (PATH, LANG=C.UTF-8, proxies).
        """
        ...

    def read_chunks(self, path: str, *, size: int = 1 << 20) -> Iterator[bytes]:
        """Yield a file's bytes in pieces of at most `size`."""
        ...

    def local_path(self, path: str) -> str:
        """Return the path by which *this process* can open the machine's `path`; for libraries that open files themselves."""
        ...
