"""Writing files so that a reader, and the machine after a power cut, sees the old bytes or the new ones, never a mixture.

    make .name.<pid>-<n>.node-agents-new in the same directory, write, owners, mode, fsync, rename, fsync the directory

The dot keeps kubelet, containerd and cron from reading the unfinished file. What a killed process left behind is
removed by the next write to the same name. Functions take real paths; OSErrors pass through to the Host, which names them.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

#: linux/fs.h, FICLONE = _IOW(0x94, 9, int): share the blocks of another file (btrfs, xfs).
_FICLONE = 0x40049409
_COPY_PIECE = 1 << 26
_counter = itertools.count()


def durable_write(path: Path, pieces: Iterable[bytes], *, mode: int, uid: int = -1, gid: int = -1) -> None:
    """Replace `path` by a file of these bytes; -1 leaves owner or group as the process makes it. A symlink is replaced, not followed."""

    def fill(descriptor: int) -> None:
        for piece in pieces:
            write_all(descriptor, piece)

    _replace(path, fill, mode=mode, uid=uid, gid=gid)


def durable_copy(source: Path, path: Path, *, mode: int, uid: int = -1, gid: int = -1) -> None:
    """Replace `path` by a copy of `source`, cloned where the file system can, else copied in the kernel."""
    original = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _replace(path, lambda descriptor: _copy(original, descriptor), mode=mode, uid=uid, gid=gid)
    finally:
        os.close(original)


def durable_symlink(path: Path, target: str) -> None:
    """Make or replace the symlink `path`."""
    temporary = _temporary(path)
    temporary.symlink_to(target)
    _rename_into_place(temporary, path)


def overwrite(path: Path, content: bytes) -> None:
    """Give `path` these bytes and keep its inode; for bind-mounted files. Not atomic: a reader may see a mixture for a moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # Truncated last: a crash in between leaves too much text rather than none.
        write_all(descriptor, content)
        os.ftruncate(descriptor, len(content))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: Path, *, mode: int = 0o755) -> None:
    """Make `path` and its missing parents, durably, with exactly this mode whatever the umask; existing ones are left alone."""
    if path.is_dir():
        return
    make_directories(path.parent, mode=mode)
    try:
        path.mkdir()
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    path.chmod(mode)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the entries of a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all bytes to a descriptor: write(2) may take fewer than it is given."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _replace(path: Path, fill: Callable[[int], None], *, mode: int, uid: int, gid: int) -> None:
    temporary = _temporary(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            fill(descriptor)
            if uid != -1 or gid != -1:
                os.fchown(descriptor, uid, gid)
            # After chown, which clears set-user-id bits.
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _rename_into_place(temporary, path)


def _rename_into_place(temporary: Path, path: Path) -> None:
    try:
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _remove_leftovers(path)
    sync_directory(path.parent)


def _temporary(path: Path) -> Path:
    # 255 bytes is the longest name of the usual file systems; 200 leaves room for our suffix.
    stem = os.fsdecode(os.fsencode(path.name)[:200])
    return path.with_name(f".{stem}.{os.getpid()}-{next(_counter)}.node-agents-new")


def _remove_leftovers(path: Path) -> None:
    stem = os.fsdecode(os.fsencode(path.name)[:200])
    pattern = re.compile(re.escape(f".{stem}.") + r"(\d+)-\d+\.node-agents-new")
    for name in os.listdir(path.parent):  # noqa: PTH208 (names are all that is needed)
        if (match := pattern.fullmatch(name)) and not _is_running(int(match[1])):
            path.with_name(name).unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _copy(source: int, target: int) -> None:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        pass
    else:
        return
    try:
        while os.copy_file_range(source, target, _COPY_PIECE):
            pass
    except OSError:
        # Another file system before Linux 5.3, or one without the call: start again through our memory.
        os.lseek(source, 0, os.SEEK_SET)
        os.lseek(target, 0, os.SEEK_SET)
        os.ftruncate(target, 0)
        while piece := os.read(source, 1 << 20):
            write_all(target, piece)
