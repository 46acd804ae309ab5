"""A directory that stands for a machine: `nodeup render`, tests, the demo. Files are real, commands are refused.

Symlinks are followed inside the directory, as chroot would: "/etc/x" that points to "/opt/y" is "<root>/opt/y", and ".." ends at
the root. Owners are remembered, and applied only where we are root and the machine that we run on knows them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from agents.errors import NotFoundError, RefusedError, SpecError
from agents.host.local import LocalHost, group_id, user_id
from agents.host.protocol import CommandResult, FileStat

#: Linux' own limit (MAXSYMLINKS).
_MOST_SYMLINKS = 40


class RootedHost:
    """Everything below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._local = LocalHost()
        self._owners: dict[str, tuple[str | None, str | None]] = {}

    @property
    def owners(self) -> Mapping[str, tuple[str | None, str | None]]:
        """The owner and group that were asked for, by path of the machine; None where only the other was."""
        return dict(self._owners)

    def stat(self, path: str) -> FileStat | None:
        """Return what stands at `path`, with the owners that were asked for."""
        found = self._local.stat(self._place(path))
        if found is None:
            return None
        owner, group = self._owners.get(_normal(path), (None, None))
        return replace(found, owner=owner or found.owner, group=group or found.group)

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        return self._local.read(self.local_path(path))

    def list(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory, sorted."""
        return self._local.list(self.local_path(path))

    def write(self, path: str, content: bytes, *, mode: int = 0o644, owner: str | None = None, group: str | None = None) -> None:
        """Replace a file durably, in one step."""
        self._local.write(self._place(path), content, mode=mode)
        self._own(path, owner, group)

    def write_in_place(self, path: str, content: bytes) -> None:
        """Overwrite a file, keeping its inode."""
        self._local.write_in_place(self.local_path(path), content)

    def install(self, source: str, path: str, *, mode: int, owner: str | None = None, group: str | None = None) -> None:
        """Replace `path` by a copy of `source`; both are below the root."""
        self._local.install(self.local_path(source), self._place(path), mode=mode)
        self._own(path, owner, group)

    def make_directory(self, path: str, *, mode: int = 0o755, owner: str | None = None, group: str | None = None) -> None:
        """Make a directory, and correct the mode of one that is there."""
        self._local.make_directory(self.local_path(path), mode=mode)
        self._own(path, owner, group)

    def symlink(self, path: str, target: str) -> None:
        """Make or replace a symlink; the target is written as given."""
        self._local.symlink(self._place(path), target)

    def set_attributes(self, path: str, *, mode: int | None = None, owner: str | None = None, group: str | None = None) -> None:
        """Change the mode, remember the owners."""
        self._local.set_attributes(self._place(path), mode=mode)
        self._own(path, owner, group)

    def remove(self, path: str) -> None:
        """Remove what stands at `path`."""
        self._local.remove(self._place(path))
        self._owners.pop(_normal(path), None)

    def rename(self, source: str, path: str) -> None:
        """Rename, durably."""
        self._local.rename(self._place(source), self._place(path))
        if (owners := self._owners.pop(_normal(source), None)) is not None:
            self._owners[_normal(path)] = owners

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: timedelta,  # noqa: ARG002 (the Protocol's signature)
        stdin: bytes | None = None,  # noqa: ARG002
        environment: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> CommandResult:
        """Refuse: a command would act on the machine that we run on, not on the directory."""
        raise RefusedError(f"`{' '.join(argv)}` is not run: {self._root} is a directory, not a machine", code="rooted-host")

    def read_chunks(self, path: str, *, size: int = 1 << 20) -> Iterator[bytes]:
        """Yield a file in pieces."""
        return self._local.read_chunks(self.local_path(path), size=size)

    def local_path(self, path: str) -> str:
        """Return where the machine's `path` lies, all symlinks followed inside the root."""
        return self._resolve(path, follow_last=True)

    def _place(self, path: str) -> str:
        return self._resolve(path, follow_last=False)

    def _resolve(self, path: str, *, follow_last: bool) -> str:
        if not path.startswith("/"):
            raise SpecError(f"wanted an absolute path of the machine, found {path!r}")
        done: list[str] = []
        waiting = [part for part in reversed(path.split("/")) if part not in {"", "."}]
        links = 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                done = done[:-1]
                continue
            here = self._root.joinpath(*done, part)
            if not here.is_symlink() or not (waiting or follow_last):
                done.append(part)
                continue
            links += 1
            if links > _MOST_SYMLINKS:
                raise SpecError(f"too many symlinks on the way to {path}")
            target = os.readlink(here)  # noqa: PTH115 (Path would change the spelling)
            if target.startswith("/"):
                done = []
            waiting.extend(part for part in reversed(target.split("/")) if part not in {"", "."})
        return str(self._root.joinpath(*done))

    def _own(self, path: str, owner: str | None, group: str | None) -> None:
        if owner is None and group is None:
            return
        self._owners[_normal(path)] = (owner, group)
        if os.geteuid() != 0:
            return
        for one_owner, one_group in ((owner, None), (None, group)):
            try:
                os.chown(self._place(path), user_id(one_owner), group_id(one_group), follow_symlinks=False)
            except NotFoundError:
                # A user that only the rendered machine will have.
                continue


def _normal(path: str) -> str:
    return os.path.normpath(path)
