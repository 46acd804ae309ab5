"""A store in a directory of this machine, for any number of processes on it at the same time.

Every write is made in full beside its target, under a name that no key can have, flushed, and then put in place in one step:
rename(2) replaces, link(2) creates, so a power cut leaves the old blob or the new one and at worst a `.partial-…` file,
which no reader sees and a later write in that directory removes. What must look before it acts (`replace_if_unchanged`)
and what could come between (`write`, `delete`) takes flock(2) on the blob's directory; readers take none.

The file system has to have hard links and flock: every native Linux one does; network file systems are not promised.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agents.errors import AccessError, AgentError, ConflictError, NotFoundError, SpecError, TransientError
from agents.host.atomic import make_directories, sync_directory, write_all
from agents.stores.keys import PARTIAL_PREFIX, check_key, check_prefix
from agents.stores.protocol import Entry, Versioned

#: One read(2) or write(2) of a stream; larger ones are not faster, they only cost memory.
PIECE_BYTES = 1 << 20

#: Keysets hold private keys, backups hold every Secret of a cluster: nobody but the owner reads a store.
FILE_MODE = 0o600
DIRECTORY_MODE = 0o700

#: A lock is held for one rename, so whoever waits longer waits for a stopped process or a hung disk.
LOCK_DEADLINE = timedelta(seconds=10)

#: A leftover is a partial file that nobody wrote to for a day; an upload in progress is touched all the time.
LEFTOVER_AGE = timedelta(days=1)

#: What may pass by itself or by making room; an operator's quota is more like a full disk than like a missing permission.
_PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ETIMEDOUT, errno.ESTALE})


class LocalStore:
    """Blobs as files below a directory, which need not exist before the first write."""

    def __init__(self, root: Path) -> None:
        if not root.is_absolute():
            raise SpecError(f"store directory {str(root)!r} is relative; name it from / on", code="store-malformed-url")
        self._root = root

    @property
    def url(self) -> str:
        """The URL that names this store, without a trailing slash."""
        return f"file://{str(self._root).rstrip('/')}"

    def read(self, key: str) -> bytes:
        """Return a whole blob."""
        with self._mapped(key):
            return self._path(key).read_bytes()

    def read_versioned(self, key: str) -> Versioned:
        """Return a whole blob; its version is a digest of its content, so equal content is an equal version."""
        content = self.read(key)
        return Versioned(content=content, version=_version(content))

    def stream(self, key: str) -> Iterator[bytes]:
        """Yield a blob in pieces; it is the blob that was there at the call, even when it is replaced meanwhile."""
        with self._mapped(key):
            descriptor = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise NotFoundError(f"{self.url}/{key} is a directory, not a blob", code="store-not-found")
        return self._pieces(descriptor, key)

    def write(self, key: str, content: bytes | Iterable[bytes]) -> None:
        """Create or replace a blob, all or nothing; an error from the iterable of pieces passes through and changes nothing."""
        path = self._path(key)
        if not isinstance(content, bytes) and path.parent != self._root:
            # A large blob often has a directory of its own, into which nothing is ever written again once its writer died.
            for directory in (entry for entry in path.parent.parent.glob("*/") if entry != path.parent):
                _remove_leftovers(directory)
        partial = self._write_partial(key, (content,) if isinstance(content, bytes) else content)
        with self._mapped(key), _removed_at_the_end(partial), self._locked(path.parent):
            partial.replace(path)
            sync_directory(path.parent)

    def create(self, key: str, content: bytes) -> str:
        """Create a blob that must not exist; link(2) lets exactly one of many processes do it."""
        path = self._path(key)
        partial = self._write_partial(key, (content,))
        with self._mapped(key), _removed_at_the_end(partial):
            os.link(partial, path)
            sync_directory(path.parent)
        return _version(content)

    def replace_if_unchanged(self, key: str, content: bytes, version: str) -> str:
        """Replace a blob that must still have the content of `version`; ConflictError when it changed or is gone."""
        path = self._path(key)
        if not path.is_file():
            raise ConflictError(f"{self.url}/{key} is gone since it was read", code="store-conflict")
        partial = self._write_partial(key, (content,))
        with self._mapped(key), _removed_at_the_end(partial), self._locked(path.parent):
            if not path.is_file() or _version(path.read_bytes()) != version:
                raise ConflictError(f"{self.url}/{key} was changed since it was read", code="store-conflict")
            partial.replace(path)
            sync_directory(path.parent)
        return _version(content)

    def exists(self, key: str) -> bool:
        """Return whether the blob exists."""
        with self._mapped(key):
            return self._path(key).is_file()

    def list(self, prefix: str = "") -> tuple[Entry, ...]:
        """Return all blobs below the directory `prefix`, sorted by key; one that is deleted meanwhile may be missing."""
        top = self._root / check_prefix(prefix)
        with self._mapped(prefix or "."):
            return tuple(sorted(self._entries(top), key=lambda entry: entry.key))

    def delete(self, key: str) -> None:
        """Delete a blob; nothing happens where there is none. Directories that become empty stay."""
        path = self._path(key)
        if not path.parent.is_dir():
            return
        with self._mapped(key), self._locked(path.parent), suppress(FileNotFoundError, IsADirectoryError):
            path.unlink()
            sync_directory(path.parent)

    def child(self, prefix: str) -> LocalStore:
        """Return the store in the directory `prefix` of this one."""
        return LocalStore(self._root / check_key(prefix))

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _pieces(self, descriptor: int, key: str) -> Iterator[bytes]:
        with self._mapped(key), os.fdopen(descriptor, "rb", buffering=0) as file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    def _write_partial(self, key: str, pieces: Iterable[bytes]) -> Path:
        """Write the pieces beside the blob, flushed to the disk, and return where; nothing is left when that fails."""
        directory = self._path(key).parent
        partial = directory / f"{PARTIAL_PREFIX}{uuid.uuid4().hex}"
        with self._mapped(key):
            _make_directories(directory)
            _remove_leftovers(directory)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        complete = False
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                for piece in pieces:  # an error of the caller's iterable is the caller's: it is not mapped
                    with self._mapped(key):
                        write_all(file.fileno(), piece)
                with self._mapped(key):
                    os.fsync(file.fileno())
            complete = True
        finally:
            if not complete:
                partial.unlink(missing_ok=True)
        return partial

    def _entries(self, top: Path) -> Iterator[Entry]:
        for directory, _, names in os.walk(top, onerror=_raise_unless_gone):
            for name in names:
                path = Path(directory, name)
                if name.startswith(PARTIAL_PREFIX) or not path.is_file():
                    continue
                with suppress(FileNotFoundError):
                    status = path.stat()
                    modified = datetime.fromtimestamp(status.st_mtime, UTC)
                    yield Entry(key=str(path.relative_to(self._root)), size_bytes=status.st_size, modified=modified)

    @contextmanager
    def _locked(self, directory: Path) -> Iterator[None]:
        """Hold the directory's flock; TransientError when someone else has it for longer than LOCK_DEADLINE."""
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not _flock_before(descriptor, time.monotonic() + LOCK_DEADLINE.total_seconds()):
                raise TransientError(
                    f"{directory} stayed locked for {LOCK_DEADLINE.total_seconds():.0f} s by another process", hint=f"fuser -v {directory}"
                )
            yield
        finally:
            os.close(descriptor)  # which also gives the lock back

    @contextmanager
    def _mapped(self, key: str) -> Iterator[None]:
        """Turn the operating system's errors into ours, named by the blob's URL."""
        try:
            yield
        except OSError as error:
            raise _meaning(error, f"{self.url}/{key}") from error


def _meaning(error: OSError, where: str) -> AgentError:
    said = f"{where}: {error.strerror or error}"
    match error:
        case FileNotFoundError() | NotADirectoryError():
            meaning: AgentError = NotFoundError(f"{where} does not exist", code="store-not-found")
        case IsADirectoryError():
            meaning = NotFoundError(f"{where} is a directory, not a blob", code="store-not-found")
        case FileExistsError():
            meaning = ConflictError(f"{where} exists already", code="store-conflict")
        case _ if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            meaning = AccessError(f"{said}; wanted to use it as uid {os.geteuid()}", code="store-access")
        case _ if error.errno in _PASSING:
            meaning = TransientError(said, code="store-transient")
        case _:
            meaning = SpecError(f"{said} (errno {error.errno})", code="store-unusable")
    return meaning


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _make_directories(directory: Path) -> None:
    try:
        make_directories(directory, mode=DIRECTORY_MODE)
    except FileExistsError as error:
        raise SpecError(f"{error.filename} is a blob, so nothing can be stored below it", code="store-malformed-key") from error


def _remove_leftovers(directory: Path) -> None:
    """Remove what writers that died left in this directory."""
    oldest = time.time() - LEFTOVER_AGE.total_seconds()
    for path in directory.glob(f"{PARTIAL_PREFIX}*"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()


@contextmanager
def _removed_at_the_end(partial: Path) -> Iterator[None]:
    """Remove the partial file's name afterwards, whatever happened; a rename has taken it away already."""
    try:
        yield
    finally:
        partial.unlink(missing_ok=True)


def _flock_before(descriptor: int, deadline: float) -> bool:
    """Take the exclusive lock and return True, or return False at `deadline`, a time of the monotonic clock."""
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.002)  # flock(2) itself knows no deadline; a holder is done within milliseconds


def _raise_unless_gone(error: OSError) -> None:
    """Let os.walk pass over a directory that is not there (a store before its first write) and over nothing else."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error
