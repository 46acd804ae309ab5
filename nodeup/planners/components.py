"""What the control plane's static pods and kube-proxy have in common: log files, directories of CA certificates, images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nodeup.planners.context import PlanContext
from nodeup.render.static_pod import HostMount, StaticPod, manifest, pod_document
from nodeup.resources.content import Literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.resources.user import User
from nodeup.spec.section import Section

#: kubelet reads static pods from here.
MANIFESTS = "/etc/kubernetes/manifests"

#: Where distributions keep CA certificates (the cloud provider's client in a component looks there); kops mounts them all.
_CA_DIRECTORIES = (
    "/etc/ssl",
    "/etc/pki/tls",
    "/etc/pki/ca-trust",
    "/usr/share/ssl",
    "/usr/ssl",
    "/usr/lib/ssl",
    "/usr/local/openssl",
    "/var/ssl",
    "/etc/openssl",
)

#: The same where /usr is read-only: a missing directory cannot be made there.
_CA_DIRECTORIES_OF_READ_ONLY_SYSTEMS = (*_CA_DIRECTORIES[:3], "/usr/share/ca-certificates")


def service_user(name: str, uid: int, *, home: str = "") -> User:
    """A user that only runs a service: nobody logs in with it."""
    return User(name=name, uid=uid, shell="/sbin/nologin", home=home)  # noqa: S604 - a login shell, not a command


def log_path(component: str) -> str:
    """Return the path of a component's log on the host."""
    return f"/var/log/{component}.log"


def log_file(component: str) -> File:
    """An empty log file, so that the pod mounts a file and not a new directory."""
    return File(path=log_path(component), content=Literal(b""), mode=0o400, only_if_absent=True)


def log_mount(component: str) -> HostMount:
    """The mount of the log file."""
    return HostMount(name="logfile", path=log_path(component), read_only=False)


def ca_certificate_mounts(context: PlanContext) -> Iterator[HostMount]:
    """The mounts of all directories in which CA certificates may lie."""
    read_only = context.is_flatcar or context.is_container_os
    for path in _CA_DIRECTORIES_OF_READ_ONLY_SYSTEMS if read_only else _CA_DIRECTORIES:
        yield HostMount(name=path.replace("/", ""), path=path)


def image_of(context: PlanContext, section: Section) -> str:
    """Return a component's image for this architecture: images loaded from tarballs have it in their names."""
    image = section.text("image")
    return image if context.facts.architecture == "amd64" else image.replace("-amd64", f"-{context.facts.architecture}", 1)


def variables(context: PlanContext) -> tuple[Mapping[str, object], ...]:
    """The proxy's variables, as a container takes them."""
    return tuple({"name": name, "value": value} for name, value in context.proxy_environment())


def uses_selinux(context: PlanContext) -> bool:
    """Whether pods that use host paths need SELinux options."""
    return bool(context.spec.containerd.boolean("selinuxEnabled"))


def pod_files(component: str, pod: StaticPod) -> Iterator[AnyResource]:
    """The manifest of a component and its log file."""
    yield File(path=f"{MANIFESTS}/{component}.manifest", content=Literal(manifest(pod_document(pod))))
    yield log_file(component)
