"""Asking a container registry for one repository's manifests and blobs, anonymously; what comes is held to its digest.

    reference ──► manifest list ──► manifest of our architecture ──► blobs
                      every one is verified against the digest that named it

Source: OCI distribution and image specifications; Docker's token authentication for anonymous pulls.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPException, HTTPResponse
from typing import IO

from agents.errors import AccessError, DeadlineError, NotFoundError, SpecError, TransientError, VerificationError

#: Of one connect, and of the silence between two pieces.
TIMEOUT_SECONDS = 30.0
#: Of one blob: 60 MB of etcd at 100 KB/s. Without it a registry that sends a byte now and then would hold a node up for ever.
DEADLINE = timedelta(minutes=10)
#: Indexes and manifests are some kilobytes.
LARGEST_MANIFEST_BYTES = 4 << 20
#: Layers are pulled whole; etcd's image has 60 MB.
LARGEST_LAYER_BYTES = 1 << 30
_PIECE_BYTES = 1 << 20
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
class Blob:
    """What a manifest names: bytes by their digest."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The manifest of an image for one architecture, as the registry has it."""

    #: The bytes that `digest` is of.
    content: bytes
    digest: str
    media_type: str
    config: Blob | None
    #: Lowest first.
    layers: tuple[Blob, ...]


def registry_bases(reference: ImageReference, mirrors: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return the base URLs to ask, mirrors of the registry first; `mirrors` are (registry, base URL) pairs, registry "*" is any."""
    own = tuple(base.rstrip("/") for registry, base in mirrors if registry in {reference.registry, "*"})
    return (*own, f"https://{_HOSTS.get(reference.registry, reference.registry)}")


#: Registries whose API has another host than their images' names.
_HOSTS = {"docker.io": "registry-1.docker.io"}


class Registry:
    """One registry or mirror, asked about one repository."""

    def __init__(self, base: str, reference: ImageReference) -> None:
        self._base = base
        self._reference = reference
        self._token = ""

    def manifest(self, architecture: str) -> Manifest:
        """Return the image's manifest for an architecture, following a manifest list."""
        content, media_type = self._document(self._reference.name, self._reference.digest)
        document = _parsed(content, self._reference)
        if "manifests" in document:
            digest = _digest_for(document, architecture, self._reference)
            content, media_type = self._document(digest, digest)
            document = _parsed(content, self._reference)
        config = document.get("config")
        return Manifest(
            content=content,
            digest=_digest_of(content),
            media_type=str(document.get("mediaType") or media_type),
            config=_blob(config) if isinstance(config, dict) else None,
            layers=_layers(document),
        )

    def check(self) -> None:
        """Ask for the image's manifest without fetching it; the errors are those of `manifest`."""
        with self._open(f"/v2/{self._reference.repository}/manifests/{self._reference.name}", accept=", ".join(_MANIFESTS), method="HEAD"):
            return

    def download(self, blob: Blob, file: IO[bytes]) -> None:
        """Write a blob to a file; VerificationError, after writing, where it is not what its digest says."""
        hasher = hashlib.sha256()
        ends = time.monotonic() + DEADLINE.total_seconds()
        with self._open(f"/v2/{self._reference.repository}/blobs/{blob.digest}") as response:
            size = 0
            for piece in _pieces(response):
                size += len(piece)
                if size > LARGEST_LAYER_BYTES:
                    break
                if time.monotonic() > ends:
                    raise DeadlineError(f"{self._base} sent {size} bytes of {blob.digest} in {DEADLINE}, which is too slow")
                hasher.update(piece)
                file.write(piece)
        if f"sha256:{hasher.hexdigest()}" != blob.digest:
            raise VerificationError(
                f"layer {blob.digest} of {self._reference.repository} came as {size} bytes with another digest", code="image-digest"
            )

    def _document(self, name: str, digest: str) -> tuple[bytes, str]:
        path = f"/v2/{self._reference.repository}/manifests/{name}"
        content = b""
        with self._open(path, accept=", ".join(_MANIFESTS)) as response:
            for piece in _pieces(response):
                content += piece
                if len(content) > LARGEST_MANIFEST_BYTES:
                    raise VerificationError(f"the manifest of {self._reference.repository} is larger than any is", code="image-digest")
            media_type = response.headers.get("Content-Type", "")
        if digest and _digest_of(content) != digest:
            raise VerificationError(f"the manifest of {self._reference.repository} is not that of {digest}", code="image-digest")
        return content, media_type

    def _open(self, path: str, *, accept: str = "*/*", method: str = "GET") -> HTTPResponse:
        """Open a path of the registry, with an anonymous token once it asks for one."""
        try:
            return self._request(path, accept, method)
        except urllib.error.HTTPError as error:
            with error:
                challenge = error.headers.get("WWW-Authenticate", "")
                if error.code != 401 or self._token or not challenge.lower().startswith("bearer "):
                    raise _registry_error(self._base + path, error) from error
        self._token = self._anonymous_token(challenge)
        try:
            return self._request(path, accept, method)
        except urllib.error.HTTPError as error:
            with error:
                raise _registry_error(self._base + path, error) from error

    def _request(self, path: str, accept: str, method: str) -> HTTPResponse:
        headers = {"Accept": accept, "User-Agent": "node-agents"}
        request = urllib.request.Request(self._base + path, headers=headers, method=method)  # noqa: S310 - http(s), from the configuration
        if self._token:
            # Unredirected: a registry sends blobs by a redirect to a store that wants no token of ours.
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)  # type: ignore[no-any-return]  # noqa: S310
        except urllib.error.HTTPError:
            raise
        except (OSError, HTTPException, ValueError) as error:
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


def _parsed(content: bytes, reference: ImageReference) -> dict[str, object]:
    try:
        document = json.loads(content)
    except ValueError as error:
        raise VerificationError(f"the manifest of {reference.repository}:{reference.name} is no JSON") from error
    if not isinstance(document, dict):
        raise VerificationError(f"the manifest of {reference.repository}:{reference.name} is no JSON object")
    return document


def _digest_for(index: Mapping[str, object], architecture: str, reference: ImageReference) -> str:
    manifests = index.get("manifests")
    for entry in manifests if isinstance(manifests, list) else []:
        platform = entry.get("platform") or {}
        if platform.get("os") == "linux" and platform.get("architecture") == architecture:
            return str(entry.get("digest"))
    raise NotFoundError(f"image {reference.repository}:{reference.name} is not built for linux/{architecture}")


def _layers(manifest: Mapping[str, object]) -> tuple[Blob, ...]:
    layers = manifest.get("layers")
    found = tuple(_blob(entry) for entry in (layers if isinstance(layers, list) else []))
    if not found or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", blob.digest) for blob in found):
        raise VerificationError("the image's manifest lists no layers with sha256 digests", code="image-digest")
    return found


def _blob(entry: Mapping[str, object]) -> Blob:
    size = entry.get("size", 0)
    return Blob(digest=str(entry.get("digest")), size_bytes=size if isinstance(size, int) else 0)


def _digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _pieces(response: HTTPResponse) -> Iterator[bytes]:
    """Yield what has come: never waiting for a full piece, so that a slow sender is seen as one."""
    while True:
        try:
            piece = response.read1(_PIECE_BYTES)
        except (OSError, HTTPException, ValueError) as error:
            raise TransientError(f"the registry's connection broke: {error}") from error
        if not piece:
            return
        yield piece


def _registry_error(url: str, error: urllib.error.HTTPError) -> AccessError | NotFoundError | TransientError:
    match error.code:
        case 401 | 403:
            return AccessError(f"{url}: the registry answered {error.code}; private images are not supported")
        case 404:
            return NotFoundError(f"{url}: the registry has no such thing")
        case _:
            return TransientError(f"{url}: the registry answered {error.code}")
