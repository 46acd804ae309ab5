"""Single files out of a container image, from an archive in the cache or straight from its registry: no container runtime is needed.

reference ──► manifest of our architecture ──► layers, last first ──► files
"""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from agents.errors import AccessError, DeadlineError, NotFoundError, TransientError, VerificationError
from nodeup.assets.archive import member_path
from nodeup.assets.registry import ImageReference, Registry, parse_reference, registry_bases


def take_files(
    image: str, paths: Sequence[str], *, architecture: str, mirrors: Sequence[tuple[str, str]] = (), directory: Path
) -> Mapping[str, Path]:
    """Return verified copies of an image's files, by their path in the image, below `directory`.

    `mirrors` are (registry, base URL) pairs, asked before the registry itself. NotFoundError when the image has no such file,
    VerificationError when a blob is not what its digest says, TransientError when no registry answers.
    """
    reference = parse_reference(image)
    reasons = []
    for base in registry_bases(reference, mirrors):
        try:
            return _take(Registry(base, reference), reference, paths, architecture, directory)
        except (TransientError, DeadlineError, AccessError, NotFoundError, VerificationError) as error:
            reasons.append(error)
    if len(reasons) == 1:
        raise reasons[0]
    raise TransientError(f"no registry delivered {image}: {'; '.join(map(str, reasons))}", code="image-unreachable") from reasons[-1]


def take_from_layers(
    layers: Sequence[str], paths: Sequence[str], fetch: Callable[[str, Path], None], target: Path, *, where: str
) -> dict[str, Path]:
    """Return copies of an image's files in `target`, the uppermost layer's first; NotFoundError naming `where` for those that none has.

    `layers` are digests, lowest first; `fetch` writes one, verified as a whole, to a file: only then it is opened.
    """
    wanted = {path.strip("/"): path for path in paths}
    found: dict[str, Path] = {}
    for digest in reversed(layers):
        if not wanted:
            break
        for inner, file in _taken_from(digest, fetch, wanted, target):
            found[wanted.pop(inner)] = file
    if wanted:
        raise NotFoundError(f"{where} has no file {', '.join(sorted(wanted.values()))}")
    return found


def image_directory(directory: Path, reference: ImageReference) -> Path:
    """Return where files of an image are kept below `directory`."""
    return directory / re.sub(r"[^A-Za-z0-9._-]", "_", f"{reference.repository}_{reference.name}")


def _take(registry: Registry, reference: ImageReference, paths: Sequence[str], architecture: str, directory: Path) -> dict[str, Path]:
    layers = {blob.digest: blob for blob in registry.manifest(architecture).layers}

    def fetch(digest: str, file: Path) -> None:
        with file.open("wb") as opened:
            registry.download(layers[digest], opened)

    where = f"image {reference.repository}:{reference.name}"
    return take_from_layers(tuple(layers), paths, fetch, image_directory(directory, reference), where=where)


def _taken_from(digest: str, fetch: Callable[[str, Path], None], wanted: Mapping[str, str], target: Path) -> list[tuple[str, Path]]:
    try:
        target.mkdir(parents=True, exist_ok=True)
        layer = target / f".{digest.removeprefix('sha256:')}.layer"
        try:
            fetch(digest, layer)
            return list(_files_of(layer, wanted, target))
        finally:
            layer.unlink(missing_ok=True)
    except OSError as error:
        raise TransientError(f"layer {digest} cannot be written to {target}: {error.strerror}", code="disk") from error


def _files_of(layer: Path, wanted: Mapping[str, str], target: Path) -> Iterator[tuple[str, Path]]:
    """Yield the wanted files that a layer has; gzip and plain layers. A wanted path that is a link is not followed."""
    try:
        with tarfile.open(layer, "r:*") as tar:
            for member in tar:
                path = member_path(member.name.lstrip("/"))
                if path is None or path not in wanted or not member.isfile():
                    continue
                source = tar.extractfile(member)
                if source is None:
                    continue
                file = target / path.rsplit("/", 1)[-1]
                with source, file.open("wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
                file.chmod(0o755)
                yield path, file
    except (tarfile.TarError, EOFError) as error:
        raise VerificationError(f"a layer is no archive that can be opened: {error}", code="image-digest") from error
