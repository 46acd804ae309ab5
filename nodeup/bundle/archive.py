"""Reading a bundle's file: verified as a whole before anything of it is used, and unpacked so that nothing can leave its room."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from agents.errors import NotFoundError, VerificationError
from agents.host.os_errors import os_errors
from nodeup.bundle.manifest import MANIFEST, BundleManifest, Entry, decode_manifest

#: A manifest has some hundred lines.
LARGEST_MANIFEST_BYTES = 16 << 20
_PIECE_BYTES = 1 << 20

#: Is given an entry and its bytes, and reads all of them.
Consumer = Callable[[Entry, Iterator[bytes]], None]


def verify_bundle(path: Path, *, sha256: str = "") -> BundleManifest:
    """Read the whole file and return its manifest; nothing is written.

    VerificationError for a file that is none, is cut off, has a member that its manifest does not list, lacks one, or has other bytes;
    with `sha256` also where the file as a whole has another hash: only that says who made it.
    """
    if sha256:
        with _opened(path) as file:
            hasher = hashlib.sha256()
            while piece := file.read(_PIECE_BYTES):
                hasher.update(piece)
            found = hasher.hexdigest()
        if found != sha256.lower():
            raise VerificationError(f"{path} has SHA-256 {found}, expected {sha256}", code="bundle")
    return read_bundle(path, _look_at)


def read_bundle(path: Path, consume: Consumer) -> BundleManifest:
    """Give every entry to `consume`, in the file's order, and return the manifest; errors as of `verify_bundle`.

    An entry's hash is known to be right only after its last piece: who keeps bytes verifies the file before.
    """
    with _opened(path) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                return _read(path, tar, consume)
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise VerificationError(f"{path} is no bundle, or is cut off: {error}", code="bundle") from error


def _read(path: Path, tar: tarfile.TarFile, consume: Consumer) -> BundleManifest:
    first = tar.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > LARGEST_MANIFEST_BYTES:
        raise VerificationError(f"{path} is no bundle: its first member is not {MANIFEST}", code="bundle")
    manifest = decode_manifest(b"".join(_pieces(tar, first)), where=f"{path}: {MANIFEST}")
    waiting = {entry.path: entry for entry in manifest.entries}
    while (member := tar.next()) is not None:
        entry = waiting.pop(member.name, None)
        if entry is None or not member.isreg() or member.issparse():
            raise VerificationError(f"{path} has a member {member.name!r} that its manifest does not list as a file", code="bundle")
        if member.size != entry.size_bytes:
            raise VerificationError(f"{path}: {entry.path} has {member.size} bytes, expected {entry.size_bytes}", code="bundle")
        hasher = hashlib.sha256()
        consume(entry, _hashed(_pieces(tar, member), hasher))
        if hasher.hexdigest() != entry.sha256:
            raise VerificationError(f"{path}: {entry.path} has SHA-256 {hasher.hexdigest()}, expected {entry.sha256}", code="bundle")
    if waiting:
        raise VerificationError(f"{path} is cut off: {len(waiting)} files are missing, the first is {min(waiting)}", code="bundle")
    return manifest


def _look_at(_entry: Entry, pieces: Iterator[bytes]) -> None:
    for _ in pieces:
        pass


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with os_errors("read", str(path)):
        if not path.exists():
            raise NotFoundError(f"bundle {path} does not exist")
        file = path.open("rb")
    with file:
        yield file


def _pieces(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    source = tar.extractfile(member)
    if source is None:
        return
    with source:
        while piece := source.read(_PIECE_BYTES):
            yield piece


def _hashed(pieces: Iterator[bytes], hasher: hashlib._Hash) -> Iterator[bytes]:
    for piece in pieces:
        hasher.update(piece)
        yield piece
