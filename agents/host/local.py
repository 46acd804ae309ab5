"""The machine that we run on, as a Host. Durable writing is in `agents.host.atomic`, running commands in `agents.host.command`."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from agents.errors import ConflictError, NotFoundError
from agents.host import atomic
from agents.host.command import run_command
from agents.host.os_errors import os_errors
from agents.host.protocol import CommandResult, FileKind, FileStat


class LocalHost:
    """This machine; paths are what they say."""

    def stat(self, path: str) -> FileStat | None:
        """Return what stands at `path`; a file below something that is no directory does not exist."""
        try:
            with os_errors("look at", path):
                return _file_stat(Path(path))
        except (NotFoundError, ConflictError):
            return None

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        with os_errors("read", path):
            return Path(path).read_bytes()

    def list(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory, sorted."""
        with os_errors("list", path):
            return tuple(sorted(os.listdir(path)))  # noqa: PTH208 (names are what is asked for)

    def write(self, path: str, content: bytes, *, mode: int = 0o644, owner: str | None = None, group: str | None = None) -> None:
        """Replace a file durably, in one step."""
        uid, gid = user_id(owner), group_id(group)
        with os_errors("write", path):
            atomic.make_directories(Path(path).parent)
            atomic.durable_write(Path(path), (content,), mode=mode, uid=uid, gid=gid)

    def write_in_place(self, path: str, content: bytes) -> None:
        """Overwrite a file, keeping its inode."""
        with os_errors("overwrite", path):
            atomic.overwrite(Path(path), content)

    def install(self, source: str, path: str, *, mode: int, owner: str | None = None, group: str | None = None) -> None:
        """Replace `path` by a copy of `source`."""
        uid, gid = user_id(owner), group_id(group)
        with os_errors(f"copy {source} to", path):
            atomic.make_directories(Path(path).parent)
            atomic.durable_copy(Path(source), Path(path), mode=mode, uid=uid, gid=gid)

    def make_directory(self, path: str, *, mode: int = 0o755, owner: str | None = None, group: str | None = None) -> None:
        """Make a directory, and correct mode and owners of one that is there; a symlink to one is followed."""
        with os_errors("make directory", path):
            atomic.make_directories(Path(path))
            directory = str(Path(path).resolve())
        self.set_attributes(directory, mode=mode, owner=owner, group=group)

    def symlink(self, path: str, target: str) -> None:
        """Make or replace a symlink."""
        found = self.stat(path)
        if found is not None and found.kind is not FileKind.SYMLINK:
            raise ConflictError(f"wanted a symlink at {path}, found a {found.kind.value}; move it away", code="not-a-symlink")
        with os_errors("link", path):
            atomic.make_directories(Path(path).parent)
            atomic.durable_symlink(Path(path), target)

    def set_attributes(self, path: str, *, mode: int | None = None, owner: str | None = None, group: str | None = None) -> None:
        """Change mode and owners; of a symlink only the owners, for it has no mode."""
        uid, gid = user_id(owner), group_id(group)
        with os_errors("change owner or mode of", path):
            found = os.lstat(path)
            if uid not in {-1, found.st_uid} or gid not in {-1, found.st_gid}:
                os.chown(path, uid, gid, follow_symlinks=False)
            if mode is not None and not stat.S_ISLNK(found.st_mode) and stat.S_IMODE(os.lstat(path).st_mode) != mode:
                Path(path).chmod(mode)

    def remove(self, path: str) -> None:
        """Remove what stands at `path`; ConflictError for a directory that is not empty."""
        found = self.stat(path)
        if found is None:
            return
        with os_errors("remove", path):
            if found.kind is FileKind.DIRECTORY:
                Path(path).rmdir()
            else:
                Path(path).unlink(missing_ok=True)
            atomic.sync_directory(Path(path).parent)

    def rename(self, source: str, path: str) -> None:
        """Rename, durably."""
        with os_errors(f"rename {source} to", path):
            Path(source).rename(path)
            for directory in {Path(source).parent, Path(path).parent}:
                atomic.sync_directory(directory)

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: timedelta,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> CommandResult:
        """Run a command and wait for it."""
        return run_command(argv, timeout=timeout, stdin=stdin, environment=environment)

    def read_chunks(self, path: str, *, size: int = 1 << 20) -> Iterator[bytes]:
        """Yield a file in pieces; what can be wrong with the file is said by the call."""
        with os_errors("read", path):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return _pieces(descriptor, path, size)

    def local_path(self, path: str) -> str:
        """Return `path`."""
        return path


def user_id(owner: str | None) -> int:
    """Return the number of a user given by name or number; -1, "leave it", for None. NotFoundError for an unknown name."""
    if owner is None:
        return -1
    if owner.isdigit():
        return int(owner)
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError as error:
        raise NotFoundError(f"there is no user {owner!r} on this machine", code="no-user") from error


def group_id(group: str | None) -> int:
    """Return the number of a group given by name or number; -1, "leave it", for None. NotFoundError for an unknown name."""
    if group is None:
        return -1
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise NotFoundError(f"there is no group {group!r} on this machine", code="no-group") from error


def _file_stat(path: Path) -> FileStat:
    found = os.lstat(path)
    kind = _kind(found.st_mode)
    return FileStat(
        kind=kind,
        mode=stat.S_IMODE(found.st_mode),
        owner=_user_name(found.st_uid),
        group=_group_name(found.st_gid),
        size_bytes=found.st_size,
        mtime_ns=found.st_mtime_ns,
        target=os.readlink(path) if kind is FileKind.SYMLINK else None,  # noqa: PTH115 (Path would change the spelling)
        device=(os.major(found.st_dev), os.minor(found.st_dev)),
        rdev=(os.major(found.st_rdev), os.minor(found.st_rdev)) if stat.S_ISBLK(found.st_mode) or stat.S_ISCHR(found.st_mode) else None,
        inode=found.st_ino,
    )


def _kind(mode: int) -> FileKind:
    kinds = {
        stat.S_IFREG: FileKind.FILE,
        stat.S_IFDIR: FileKind.DIRECTORY,
        stat.S_IFLNK: FileKind.SYMLINK,
        stat.S_IFBLK: FileKind.BLOCK_DEVICE,
    }
    return kinds.get(stat.S_IFMT(mode), FileKind.OTHER)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _pieces(descriptor: int, path: str, size: int) -> Iterator[bytes]:
    try:
        while True:
            with os_errors("read", path):
                piece = os.read(descriptor, size)
            if not piece:
                return
            yield piece
    finally:
        os.close(descriptor)
