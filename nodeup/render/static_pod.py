"""The manifest of a static pod, from its parts; keys sorted as kops' serializer sorts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents.documents import dump_yaml

Document = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMount:
    """A path of the host in the container."""

    name: str
    path: str
    #: Where it appears in the container; "" for the same path.
    mount_path: str = ""
    read_only: bool = True
    #: Kubernetes' hostPath type ("FileOrCreate"); "" for none.
    type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """An HTTP probe of a port on 127.0.0.1; times in seconds, 0 is left to Kubernetes' default."""

    path: str
    port: int
    https: bool
    initial_delay: int = 0
    timeout: int = 0
    failure_threshold: int = 0
    period: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticPod:
    """A pod of one component in kube-system on the host's network."""

    name: str
    image: str
    #: The binary in the image, run by go-runner with its output in `log_file`.
    binary: str
    log_file: str
    flags: Sequence[str]
    mounts: Sequence[HostMount]
    cpu_request: str
    priority_class: str = "system-cluster-critical"
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    env: Sequence[Mapping[str, object]] = ()
    #: By name: "livenessProbe", "readinessProbe", "startupProbe".
    probes: Mapping[str, Probe]
    #: (name, port), each on the same port of the host.
    ports: Sequence[tuple[str, int]] = ()
    memory_request: str = ""
    cpu_limit: str = ""
    memory_limit: str = ""
    privileged: bool = False
    #: Whether the pod needs SELinux' super-privileged container type to see the host's files.
    selinux: bool = False


def pod_document(pod: StaticPod) -> Document:
    """Return the pod as a document, for those who add to it."""
    metadata: Document = {"labels": {"k8s-app": pod.name, **pod.labels}, "name": pod.name, "namespace": "kube-system"}
    if pod.annotations:
        metadata["annotations"] = dict(pod.annotations)
    spec: Document = {
        "containers": [_container(pod)],
        "hostNetwork": True,
        "priorityClassName": pod.priority_class,
        "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
        "volumes": [_volume(mount) for mount in pod.mounts],
    }
    if pod.selinux:
        spec |= SELINUX_CONTEXT
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}


def manifest(document: Document) -> bytes:
    """Return a pod's document as the text of its manifest."""
    return dump_yaml(document).encode()


#: What a pod's spec needs to use host paths where SELinux is enforced.
SELINUX_CONTEXT: Mapping[str, object] = {"securityContext": {"seLinuxOptions": {"level": "s0", "type": "spc_t"}}}


def _container(pod: StaticPod) -> Document:
    container: Document = {
        "args": [f"--log-file={pod.log_file}", "--also-stdout", pod.binary, *pod.flags],
        "command": ["/go-runner"],
        "image": pod.image,
        "name": pod.name,
        "resources": _resources(pod),
        "volumeMounts": [_mount(mount) for mount in pod.mounts],
    }
    container |= {name: _probe(probe) for name, probe in pod.probes.items()}
    if pod.env:
        container["env"] = [dict(variable) for variable in pod.env]
    if pod.ports:
        container["ports"] = [{"containerPort": port, "hostPort": port, "name": name} for name, port in pod.ports]
    if pod.privileged:
        container["securityContext"] = {"privileged": True}
    return container


def _resources(pod: StaticPod) -> Document:
    requests = {"cpu": pod.cpu_request, "memory": pod.memory_request}
    limits = {"cpu": pod.cpu_limit, "memory": pod.memory_limit}
    both = {"requests": requests, "limits": limits}
    filled = {kind: {name: value for name, value in values.items() if value} for kind, values in both.items()}
    return {kind: values for kind, values in filled.items() if values}


def _mount(mount: HostMount) -> Document:
    document: Document = {"mountPath": mount.mount_path or mount.path, "name": mount.name}
    return document | {"readOnly": True} if mount.read_only else document


def _volume(mount: HostMount) -> Document:
    path: Document = {"path": mount.path}
    return {"hostPath": path | {"type": mount.type} if mount.type else path, "name": mount.name}


def _probe(probe: Probe) -> Document:
    get: Document = {"host": "127.0.0.1", "path": probe.path, "port": probe.port}
    if probe.https:
        get["scheme"] = "HTTPS"
    times = {
        "failureThreshold": probe.failure_threshold,
        "initialDelaySeconds": probe.initial_delay,
        "periodSeconds": probe.period,
        "timeoutSeconds": probe.timeout,
    }
    return {"httpGet": get, **{name: seconds for name, seconds in times.items() if seconds}}
