"""What a bundle says of itself, and which paths it may have; pure.

manifest.json                    first in the archive; all below is listed in it with its SHA-256
assets/sha256:<hex>_<name>       assets, as they lie in the cache
bin/<architecture>/nodeup        our executable
boot/kube_env.yaml               the boot configuration
images/<name>_<architecture>.tar container images (`nodeup.assets.oci_archive`)
packages/<architecture>/*.deb    packages of the distribution
state/<scheme>/<rest of URL>     what a node reads of its state stores; with keys and secrets, unless made without
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from agents.decode import decode
from agents.documents import dump_json, load_json
from agents.errors import SpecError, VerificationError

API_VERSION = "node-agents/v1"
KIND = "NodeBundle"
#: Raised when an older nodeup could not apply what a newer one writes.
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
BOOT_CONFIG = "boot/kube_env.yaml"
_ROOMS = frozenset({"assets", "bin", "boot", "images", "packages", "state"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file of a bundle."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledImage:
    """A container image of a bundle."""

    reference: str
    architecture: str
    #: Of the archive, in the bundle.
    path: str
    #: Whether containerd runs it; else only files are taken out of it.
    is_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleManifest:
    """Everything that a bundle says of itself."""

    api_version: str = API_VERSION
    kind: str = KIND
    format_version: int = FORMAT_VERSION
    cluster_name: str
    instance_group: str
    role: str
    kubernetes_version: str
    architectures: tuple[str, ...]
    #: Whether keysets and secrets are in it; without them the node must reach its state store.
    with_secrets: bool
    #: What the plan installs from the distribution; these are in the bundle only where `packages/` has files.
    packages: tuple[str, ...] = ()
    #: The distribution that the packages are of; "" where there are none.
    distribution: str = ""
    images: tuple[BundledImage, ...] = ()
    #: Sorted by path.
    entries: tuple[Entry, ...] = ()

    def below(self, room: str) -> tuple[Entry, ...]:
        """Return the entries of a room ("assets", "packages/amd64")."""
        return tuple(entry for entry in self.entries if entry.path.startswith(f"{room}/"))

    @property
    def size_bytes(self) -> int:
        """How much all files need."""
        return sum(entry.size_bytes for entry in self.entries)


def encode_manifest(manifest: BundleManifest) -> bytes:
    """Return the manifest as JSON."""
    document: Mapping[str, object] = {
        "apiVersion": manifest.api_version,
        "kind": manifest.kind,
        "formatVersion": manifest.format_version,
        "clusterName": manifest.cluster_name,
        "instanceGroup": manifest.instance_group,
        "role": manifest.role,
        "kubernetesVersion": manifest.kubernetes_version,
        "architectures": list(manifest.architectures),
        "withSecrets": manifest.with_secrets,
        "packages": list(manifest.packages),
        "distribution": manifest.distribution,
        "images": [
            {"reference": image.reference, "architecture": image.architecture, "path": image.path, "isRun": image.is_run}
            for image in manifest.images
        ],
        "entries": [{"path": entry.path, "sha256": entry.sha256, "sizeBytes": entry.size_bytes} for entry in manifest.entries],
    }
    return dump_json(document).encode()


def decode_manifest(content: bytes, *, where: str) -> BundleManifest:
    """Return the manifest; VerificationError for one that cannot be, SpecError for a format that a newer version wrote."""
    try:
        document = load_json(content, where=where)
        if isinstance(document, dict) and document.get("kind") == KIND and document.get("formatVersion") != FORMAT_VERSION:
            raise _newer(where, document.get("formatVersion"))
        manifest = decode(BundleManifest, document, where=where).value
    except SpecError as error:
        if error.code == _NEWER:
            raise
        raise VerificationError(f"{where} is not the manifest of a bundle: {error}", code="bundle") from error
    if (manifest.api_version, manifest.kind) != (API_VERSION, KIND):
        raise VerificationError(f"{where}: wanted {API_VERSION} {KIND}, found {manifest.api_version} {manifest.kind}", code="bundle")
    seen: set[str] = set()
    for entry in manifest.entries:
        check_path(entry.path, where=where)
        if entry.path in seen:
            raise VerificationError(f"{where} lists {entry.path} twice", code="bundle")
        seen.add(entry.path)
    return manifest


def check_path(path: str, *, where: str) -> None:
    """VerificationError for a path that is none of a bundle's: outside of its rooms, or leading out of them."""
    parts = PurePosixPath(path).parts
    is_plain = str(PurePosixPath(path)) == path and "\\" not in path and "\0" not in path
    if not is_plain or len(parts) < 2 or parts[0] not in _ROOMS or ".." in parts:
        raise VerificationError(f"{where} has a file {path!r}, which is no path of a bundle", code="bundle")


def state_path(url: str, key: str) -> str:
    """Return the path in a bundle of the blob `key` of the store at `url`; a URL without a scheme is a directory."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "file", url
    return str(PurePosixPath("state", scheme, rest.strip("/"), key))


_NEWER = "bundle-format"


def _newer(where: str, found: object) -> SpecError:
    return SpecError(
        f"{where} has format version {found}, and this nodeup knows {FORMAT_VERSION}",
        code=_NEWER,
        hint="use the nodeup in the bundle: `tar -xf FILE bin/`",
    )
