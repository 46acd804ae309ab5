"""Unpacking a verified tar archive into the cache, so that nothing in it can write anywhere else.

Only regular files are taken, by their path in the archive; links, devices and owners are not: no asset of a node needs
them, and each has been a way out of the directory once. A list of the members with their hashes is written last; an
unpacked directory without it is unpacked again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from agents.errors import TransientError, VerificationError

#: The members with their hashes, in the unpacked directory; an archive that has such a file itself is refused.
MANIFEST = ".node-agents-members.json"
#: Far above every real asset (containerd: 120 MB); it stops an archive that would fill the disk.
LARGEST_BYTES = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A regular file of an unpacked archive."""

    path: str
    file: Path
    sha256: str


def unpack(archive: Path, directory: Path) -> tuple[Member, ...]:
    """Unpack all regular files of a tar archive (plain, gzip, xz, bzip2) and return them, sorted by path.

    `directory` appears in one step, complete, or not at all. VerificationError for an archive that is damaged, leaves its
    directory or is unreasonably large.
    """
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        digests = _extract_all(archive, temporary)
        (temporary / MANIFEST).write_text(json.dumps(digests, indent=0, sort_keys=True) + "\n")
        shutil.rmtree(directory, ignore_errors=True)
        temporary.replace(directory)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise VerificationError(f"{archive} is no archive that can be unpacked: {error}", code="asset-archive") from error
    except OSError as error:
        hint = f"make room: `df -h {directory.parent}`" if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
        raise TransientError(f"{archive} could not be unpacked: {error.strerror or error}", code="disk", hint=hint) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return _members(directory, digests)


def unpacked_members(directory: Path) -> tuple[Member, ...] | None:
    """Return the members of an unpacked archive; None where it is not (completely) there."""
    try:
        digests = json.loads((directory / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(digests, dict) or not all((directory / str(path)).is_file() for path in digests):
        return None
    return _members(directory, {str(path): str(digest) for path, digest in digests.items()})


def member_path(name: str) -> str | None:
    """Return a member's path below the directory, None for the root itself; VerificationError for one that leads out of it."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path.name == MANIFEST or "\\" in name or "\0" in name:
        raise VerificationError(
            f"the archive has a member {name!r}, which is not taken: it leads out of the directory or is ours", code="asset-archive"
        )
    text = str(path)
    return None if text == "." else text


def _extract_all(archive: Path, directory: Path) -> dict[str, str]:
    digests: dict[str, str] = {}
    size = 0
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            path = member_path(member.name)
            if path is None or not member.isfile():
                continue
            size += member.size
            if size > LARGEST_BYTES:
                raise VerificationError(f"{archive} unpacks to more than {LARGEST_BYTES} bytes", code="asset-archive")
            source = tar.extractfile(member)
            if source is None:
                continue
            with source:
                digests[path] = _write(source, directory / path, executable=bool(member.mode & 0o111))
    return digests


def _write(source: IO[bytes], path: Path, *, executable: bool) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    hasher = hashlib.sha256()
    # A second member of the same name replaces the first, as tar does.
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        while piece := source.read(1 << 20):
            file.write(piece)
            hasher.update(piece)
    path.chmod(0o755 if executable else 0o644)
    return hasher.hexdigest()


def _members(directory: Path, digests: dict[str, str]) -> tuple[Member, ...]:
    return tuple(Member(path=path, file=directory / path, sha256=digests[path]) for path in sorted(digests))
