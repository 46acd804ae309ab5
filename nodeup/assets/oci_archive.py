"""A container image as one tar file in the OCI image layout: what a registry has, for machines that reach none.

    oci-layout · index.json (one image, by its name) · blobs/sha256/<hex>: manifest, configuration, layers

`ctr images import` reads it, and so does `files_of_archive`. The same image gives the same bytes: members are sorted, times are 0.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agents.errors import AccessError, AgentError, DeadlineError, NotFoundError, TransientError, VerificationError
from nodeup.assets.image import take_from_layers
from nodeup.assets.registry import Blob, Manifest, Registry, parse_reference, registry_bases

_BLOBS = "blobs/sha256/"
#: Of JSON documents of an archive.
LARGEST_DOCUMENT_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TarEntry:
    """A regular file for a tar archive: its bytes, or a file that holds them."""

    path: str
    content: bytes | Path
    mode: int = 0o644


def write_tar(out: IO[bytes], entries: Sequence[TarEntry]) -> None:
    """Write regular files in the order given, owned by root, without times: the same entries give the same bytes."""
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.path)
            info.mode = entry.mode
            info.uname = info.gname = "root"
            if isinstance(entry.content, Path):
                info.size = entry.content.stat().st_size
                with entry.content.open("rb") as file:
                    tar.addfile(info, file)
            else:
                info.size = len(entry.content)
                tar.addfile(info, io.BytesIO(entry.content))


def save_image(image: str, *, architecture: str, mirrors: Sequence[tuple[str, str]], directory: Path, out: Path) -> None:
    """Fetch an image for one architecture and write it as an archive; blobs are kept in `directory` meanwhile.

    Errors are those of `take_files`.
    """
    reference = parse_reference(image)
    reasons: list[AgentError] = []
    for base in registry_bases(reference, mirrors):
        registry = Registry(base, reference)
        try:
            manifest = registry.manifest(architecture)
            blobs = [*([manifest.config] if manifest.config else []), *manifest.layers]
            files = {blob.digest: _fetched(registry, blob, directory) for blob in blobs}
        except (TransientError, DeadlineError, AccessError, NotFoundError, VerificationError) as error:
            reasons.append(error)
            continue
        with out.open("wb") as file:
            write_tar(file, _entries(image, manifest, architecture, files))
        return
    if len(reasons) == 1:
        raise reasons[0]
    raise TransientError(f"no registry delivered {image}: {'; '.join(map(str, reasons))}", code="image-unreachable") from reasons[-1]


def files_of_archive(archive: Path, paths: Sequence[str], directory: Path) -> Mapping[str, Path]:
    """Return copies, below `directory`, of an image's files by their path in the image; every blob is verified before it is opened."""
    try:
        with tarfile.open(archive, "r:") as tar:
            index = json.loads(_document(tar, "index.json"))
            manifest = json.loads(_verified(tar, str(index["manifests"][0]["digest"])))
            layers = [str(layer["digest"]) for layer in manifest["layers"]]

            def open_layer(digest: str, layer: Path) -> None:
                with layer.open("wb") as file:
                    _copy_verified(tar, digest, file)

            return take_from_layers(layers, paths, open_layer, directory, where=str(archive))
    except (tarfile.TarError, EOFError, ValueError, LookupError, TypeError) as error:
        raise VerificationError(f"{archive} is no archive of an image: {error}", code="image-archive") from error


def _entries(image: str, manifest: Manifest, architecture: str, files: Mapping[str, Path]) -> list[TarEntry]:
    described = {
        "mediaType": manifest.media_type or "application/vnd.oci.image.manifest.v1+json",
        "digest": manifest.digest,
        "size": len(manifest.content),
        "platform": {"architecture": architecture, "os": "linux"},
        # containerd's importer names the image by the first, other tools by the second.
        "annotations": {"io.containerd.image.name": image, "org.opencontainers.image.ref.name": image},
    }
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [described]}
    blobs: dict[str, bytes | Path] = {manifest.digest: manifest.content, **files}
    return [
        TarEntry(path="oci-layout", content=b'{"imageLayoutVersion":"1.0.0"}'),
        TarEntry(path="index.json", content=json.dumps(index, separators=(",", ":")).encode()),
        *(TarEntry(path=_BLOBS + digest.removeprefix("sha256:"), content=blobs[digest]) for digest in sorted(blobs)),
    ]


def _fetched(registry: Registry, blob: Blob, directory: Path) -> Path:
    file = directory / blob.digest.removeprefix("sha256:")
    if not file.is_file():
        part = directory / f".{file.name}.part"
        with part.open("wb") as opened:
            registry.download(blob, opened)
        part.replace(file)
    return file


def _document(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.getmember(name)
    source = tar.extractfile(member) if member.isfile() and member.size <= LARGEST_DOCUMENT_BYTES else None
    if source is None:
        raise LookupError(f"{name} is no file of a document's size")
    with source:
        return source.read()


def _verified(tar: tarfile.TarFile, digest: str) -> bytes:
    content = _document(tar, _BLOBS + digest.removeprefix("sha256:"))
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise ValueError(f"blob {digest} has other bytes")
    return content


def _copy_verified(tar: tarfile.TarFile, digest: str, file: IO[bytes]) -> None:
    source = tar.extractfile(_BLOBS + digest.removeprefix("sha256:"))
    if source is None:
        raise LookupError(f"blob {digest} is no file")
    with source:
        shutil.copyfileobj(source, file, 1 << 20)
    file.flush()
    with Path(str(file.name)).open("rb") as copy:
        if f"sha256:{hashlib.file_digest(copy, 'sha256').hexdigest()}" != digest:
            raise ValueError(f"layer {digest} has other bytes")
