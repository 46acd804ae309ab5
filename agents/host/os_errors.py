"""What an OSError of the machine means to an operator: the one place that turns errno into the error tree."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from agents.errors import AccessError, AgentError, BusyError, ConflictError, NotFoundError, SpecError, TransientError

_KINDS: tuple[tuple[type[AgentError], frozenset[int]], ...] = (
    (NotFoundError, frozenset({errno.ENOENT})),
    (AccessError, frozenset({errno.EACCES, errno.EPERM, errno.EROFS})),
    (BusyError, frozenset({errno.EBUSY, errno.ETXTBSY})),
    (ConflictError, frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR})),
    (SpecError, frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.ENOEXEC, errno.E2BIG, errno.EXDEV})),
    (
        TransientError,
        frozenset(
            {
                errno.ENOSPC,
                errno.EDQUOT,
                errno.EIO,
                errno.EAGAIN,
                errno.EINTR,
                errno.EMFILE,
                errno.ENFILE,
                errno.ENOMEM,
                errno.ESTALE,
                errno.ETIMEDOUT,
            }
        ),
    ),
)

_CODES = {
    errno.ENOENT: "file-missing",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EROFS: "read-only",
    errno.ENOSPC: "disk-full",
    errno.EDQUOT: "disk-full",
    errno.EIO: "disk-error",
    errno.ETXTBSY: "program-busy",
}


def translate(error: OSError, *, wanted: str, path: str) -> AgentError:
    """Return the error that says what was wanted of `path` ("write", "start"), what the kernel answered, and what to do."""
    number = error.errno or 0
    kind = next((kind for kind, numbers in _KINDS if number in numbers), AgentError)
    reason = os.strerror(number) if number else str(error)
    return kind(f"cannot {wanted} {path}: {reason}", code=_CODES.get(number, kind.code), hint=_hint(number, path))


@contextmanager
def os_errors(wanted: str, path: str) -> Iterator[None]:
    """Turn every OSError of the block into an AgentError about `path`, the machine's name for it."""
    try:
        yield
    except OSError as error:
        raise translate(error, wanted=wanted, path=path) from error


def _hint(number: int, path: str) -> str:
    directory = os.path.dirname(path) or "/"  # noqa: PTH120 (a path of the machine, maybe of another root)
    match number:
        case errno.ENOSPC | errno.EDQUOT:
            return f"make room: `df -h {directory}`, and `df -i {directory}` for inodes"
        case errno.EROFS:
            return f"the file system is mounted read-only: `findmnt -T {directory}`, and `dmesg` for the reason"
        case errno.EIO:
            return "the disk reports errors: look at `dmesg`"
        case errno.EACCES | errno.EPERM:
            return "run it as root"
        case errno.EMFILE | errno.ENFILE:
            return "too many open files: raise LimitNOFILE="
        case _:
            return ""
