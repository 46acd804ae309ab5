"""Single files out of a container image, straight from its registry: no container runtime is needed for it.

    reference ──► manifest list ──► manifest of our architecture ──► layers, last first ──► files
                       every blob is verified against the digest that named it

Source: OCI distribution and image specifications; Docker's token authentication for anonymous pulls.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agents.errors import AccessError, NotFoundError, SpecError, TransientError, VerificationError
from nodeup.assets.archive import member_path

TIMEOUT_SECONDS = 30.0
#: Indexes and manifests are some kilobytes.
LARGEST_MANIFEST_BYTES = 4 << 20
#: Layers are pulled whole; etcd's image has 60 MB.
LARGEST_LAYER_BYTES = 1 << 30
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """Where an image is."""

    #: Host, possibly with a port.
    registry: str
    repository: str
    tag: str
    #: "sha256:<hex>"; "" where the reference names a tag only.
    digest: str

    @property
    def name(self) -> str:
        """What the registry is asked for: the digest where there is one, it cannot be moved."""
        return self.digest or self.tag


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blob:
    digest: str
    size_bytes: int


def parse_reference(text: str) -> ImageReference:
    """Read "registry/repository[:tag][@sha256:…]"; SpecError for one without a registry: there is no default one here."""
    rest, _, digest = text.partition("@")
    if digest and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise SpecError(f"image {text!r}: {digest!r} is no sha256 digest")
    registry, slash, path = rest.partition("/")
    if not slash or not re.search(r"[.:]|^localhost$", registry):
        raise SpecError(f"image {text!r} names no registry; wanted registry/repository:tag")
    repository, colon, tag = path.rpartition(":")
    if not colon:
        repository, tag = path, "latest"
    if not re.fullmatch(r"[a-z0-9]+([._/-]+[a-z0-9]+)*", repository) or not re.fullmatch(r"[\w][\w.-]{0,127}", tag):
        raise SpecError(f"image {text!r} is no image reference")
    return ImageReference(registry=registry, repository=repository, tag=tag, digest=digest)


def take_files(
    image: str, paths: Sequence[str], *, architecture: str, mirrors: Sequence[tuple[str, str]] = (), directory: Path
) -> Mapping[str, Path]:
    """Return verified copies of an image's files, by their path in the image, below `directory`.

    `mirrors` are (registry, base URL) pairs, asked before the registry itself. NotFoundError when the image has no such file,
    VerificationError when a blob is not what its digest says, TransientError when no registry answers.
    """
    reference = parse_reference(image)
    bases = [base.rstrip("/") for registry, base in mirrors if registry == reference.registry]
    reasons = []
    for base in (*bases, f"https://{reference.registry}"):
        try:
            return _Registry(base, reference).take(paths, architecture, directory)
        except (TransientError, AccessError, NotFoundError, VerificationError) as error:
            reasons.append(error)
    if len(reasons) == 1:
        raise reasons[0]
    raise TransientError(f"no registry delivered {image}: {'; '.join(map(str, reasons))}", code="image-unreachable") from reasons[-1]


class _Registry:
    """One registry or mirror, asked about one repository."""

    def __init__(self, base: str, reference: ImageReference) -> None:
        self._base = base
        self._reference = reference
        self._token = ""

    def take(self, paths: Sequence[str], architecture: str, directory: Path) -> dict[str, Path]:
        manifest = self._manifest(self._reference.name, self._reference.digest)
        if "manifests" in manifest:
            digest = _digest_for(manifest, architecture, self._reference)
            manifest = self._manifest(digest, digest)
        layers = _layers(manifest)
        wanted = {path.strip("/"): path for path in paths}
        target = directory / re.sub(r"[^A-Za-z0-9._-]", "_", f"{self._reference.repository}_{self._reference.name}")
        found: dict[str, Path] = {}
        for layer in reversed(layers):
            if not wanted:
                break
            for inner, file in self._taken_from(layer, wanted, target):
                found[wanted.pop(inner)] = file
        if wanted:
            raise NotFoundError(
                f"image {self._reference.repository}:{self._reference.name} has no file {', '.join(sorted(wanted.values()))}"
            )
        return found

    def _taken_from(self, layer: _Blob, wanted: Mapping[str, str], target: Path) -> list[tuple[str, Path]]:
        """Download a layer, verify it as a whole, and only then open it."""
        target.mkdir(parents=True, exist_ok=True)
        blob = target / f".{layer.digest.removeprefix('sha256:')}.layer"
        try:
            with blob.open("wb") as file:
                self._download(layer, file)
            return list(_files_of(blob, wanted, target))
        except OSError as error:
            raise TransientError(f"layer {layer.digest} cannot be written to {target}: {error.strerror}", code="disk") from error
        finally:
            blob.unlink(missing_ok=True)

    def _download(self, layer: _Blob, file: IO[bytes]) -> None:
        hasher = hashlib.sha256()
        with self._open(f"/v2/{self._reference.repository}/blobs/{layer.digest}") as response:
            size = 0
            while piece := _read(response, 1 << 20):
                size += len(piece)
                if size > LARGEST_LAYER_BYTES:
                    break
                hasher.update(piece)
                file.write(piece)
        if f"sha256:{hasher.hexdigest()}" != layer.digest:
            raise VerificationError(
                f"layer {layer.digest} of {self._reference.repository} came as {size} bytes with another digest", code="image-digest"
            )

    def _manifest(self, name: str, digest: str) -> dict[str, object]:
        with self._open(f"/v2/{self._reference.repository}/manifests/{name}", accept=", ".join(_MANIFESTS)) as response:
            content = _read(response, LARGEST_MANIFEST_BYTES)
        if digest and f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            raise VerificationError(f"the manifest of {self._reference.repository} is not that of {digest}", code="image-digest")
        try:
            document = json.loads(content)
        except ValueError as error:
            raise VerificationError(f"the manifest of {self._reference.repository}:{name} is no JSON") from error
        if not isinstance(document, dict):
            raise VerificationError(f"the manifest of {self._reference.repository}:{name} is no JSON object")
        return document

    def _open(self, path: str, *, accept: str = "*/*") -> IO[bytes]:
        """Open a path of the registry, with an anonymous token once it asks for one."""
        try:
            return self._request(path, accept)
        except urllib.error.HTTPError as error:
            with error:
                challenge = error.headers.get("WWW-Authenticate", "")
                if error.code != 401 or self._token or not challenge.lower().startswith("bearer "):
                    raise _registry_error(self._base + path, error) from error
        self._token = self._anonymous_token(challenge)
        try:
            return self._request(path, accept)
        except urllib.error.HTTPError as error:
            with error:
                raise _registry_error(self._base + path, error) from error

    def _request(self, path: str, accept: str) -> IO[bytes]:
        headers = {"Accept": accept, "User-Agent": "node-agents"}
        request = urllib.request.Request(self._base + path, headers=headers)  # noqa: S310 - http(s), from the configuration
        if self._token:
            # Unredirected: a registry sends blobs by a redirect to a store that wants no token of ours.
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)  # type: ignore[no-any-return]  # noqa: S310
        except urllib.error.HTTPError:
            raise
        except (OSError, ValueError) as error:
            raise TransientError(f"{self._base}{path}: {getattr(error, 'reason', error)}") from error

    def _anonymous_token(self, challenge: str) -> str:
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = fields.pop("realm", "")
        if not realm.startswith(("https://", "http://")):
            raise AccessError(f"{self._base} asks for a token, and does not say where to get it: {challenge}")
        fields.setdefault("scope", f"repository:{self._reference.repository}:pull")
        url = f"{realm}?{urllib.parse.urlencode(fields)}"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - checked above
                answer = json.loads(response.read(LARGEST_MANIFEST_BYTES))
        except (OSError, ValueError) as error:
            raise TransientError(f"{realm}: {error}") from error
        return str(answer.get("token") or answer.get("access_token") or "")


def _digest_for(index: Mapping[str, object], architecture: str, reference: ImageReference) -> str:
    manifests = index.get("manifests")
    for entry in manifests if isinstance(manifests, list) else []:
        platform = entry.get("platform") or {}
        if platform.get("os") == "linux" and platform.get("architecture") == architecture:
            return str(entry.get("digest"))
    raise NotFoundError(f"image {reference.repository}:{reference.name} is not built for linux/{architecture}")


def _layers(manifest: Mapping[str, object]) -> list[_Blob]:
    layers = manifest.get("layers")
    found = [
        _Blob(digest=str(entry.get("digest")), size_bytes=int(entry.get("size", 0)))
        for entry in (layers if isinstance(layers, list) else [])
    ]
    if not found or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", blob.digest) for blob in found):
        raise VerificationError("the image's manifest lists no layers with sha256 digests", code="image-digest")
    return found


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


def _read(response: IO[bytes], size: int) -> bytes:
    try:
        return response.read(size)
    except (OSError, ValueError) as error:
        raise TransientError(f"the registry's connection broke: {error}") from error


def _registry_error(url: str, error: urllib.error.HTTPError) -> AccessError | NotFoundError | TransientError:
    match error.code:
        case 401 | 403:
            return AccessError(f"{url}: the registry answered {error.code}; private images are not supported")
        case 404:
            return NotFoundError(f"{url}: the registry has no such thing")
        case _:
            return TransientError(f"{url}: the registry answered {error.code}")
