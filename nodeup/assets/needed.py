"""Which container images a node needs before it can ask a registry: those of its plan; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agents.documents import load_yaml_all
from agents.errors import SpecError
from nodeup.resources.content import Literal, SecretLiteral
from nodeup.resources.file import File
from nodeup.resources.image import ImageArchive, ImageFiles, PulledImage
from nodeup.resources.kinds import AnyResource
from nodeup.spec.node import NodeSpec

#: Where kubelet finds static pods.
MANIFESTS = "/etc/kubernetes/manifests/"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededImage:
    """An image, and what for."""

    reference: str
    #: Ids of resources, or "sandbox".
    used_by: tuple[str, ...]
    #: Whether containerd runs it; else only files are taken out of it.
    is_run: bool


def needed_images(spec: NodeSpec, resources: Iterable[AnyResource]) -> tuple[NeededImage, ...]:
    """Return the images of a plan, sorted: static pods', the pod sandbox, those pulled ahead, and those that files are taken from.

    Not those that come as tarballs of the asset list, and not those that the cluster runs later. Without `sandboxImage` in the
    specification containerd uses one of its own choice, which is not known here.
    """
    uses: dict[str, dict[str, bool]] = {}
    for reference, user, is_run in (*_sandbox(spec), *(use for resource in resources for use in _of(resource))):
        uses.setdefault(reference, {})[user] = is_run
    return tuple(
        NeededImage(reference=reference, used_by=tuple(users), is_run=any(users.values())) for reference, users in sorted(uses.items())
    )


def registry_mirrors(spec: NodeSpec) -> tuple[tuple[str, str], ...]:
    """Return the mirrors that containerd is told of, as (registry, base URL); registry "*" is any."""
    mirrors = spec.containerd.section("registryMirrors")
    return tuple((registry, base) for registry in sorted(mirrors.fields) for base in mirrors.texts(registry))


def image_archives(resources: Iterable[AnyResource]) -> tuple[ImageArchive, ...]:
    """Return the images of a plan that come as tarballs."""
    return tuple(resource for resource in resources if isinstance(resource, ImageArchive))


def _sandbox(spec: NodeSpec) -> Iterator[tuple[str, str, bool]]:
    if reference := spec.containerd.text("sandboxImage"):
        yield reference, "sandbox", True


def _of(resource: AnyResource) -> Iterator[tuple[str, str, bool]]:
    match resource:
        case PulledImage():
            yield resource.name, resource.id, True
        case ImageFiles():
            yield resource.image, resource.id, False
        case File() if resource.path.startswith(MANIFESTS):
            yield from ((reference, resource.id, True) for reference in _pod_images(resource))
        case _:
            return


def _pod_images(file: File) -> Iterator[str]:
    """Yield the images of a static pod's containers; a manifest that is no YAML has none that kubelet could run either."""
    match file.content:
        case Literal(content):
            text = content
        case SecretLiteral(secret):
            text = secret.reveal()
        case _:
            return
    try:
        documents = load_yaml_all(text, where=file.path)
    except SpecError:
        return
    for document in documents:
        pod = document.get("spec") if isinstance(document, dict) else None
        for kind in ("initContainers", "containers"):
            containers = pod.get(kind) if isinstance(pod, dict) else None
            for container in containers if isinstance(containers, list) else []:
                if isinstance(container, dict) and isinstance(container.get("image"), str):
                    yield container["image"]
