"""Where a unit of ours answers once it works, which is later than that its process runs: as its own configuration says."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import timedelta

from agents.documents import as_mapping, load_yaml
from agents.errors import SpecError
from agents.host.protocol import Host
from agents.host.reading import text_if_there

#: kubelet waits for containerd, and its first start makes cgroups and plugin directories; on small machines that is half a minute.
READY_DEADLINE = timedelta(minutes=2)
#: How long a unit may be "activating" after systemctl came back: it is between two tries of its own.
ACTIVE_DEADLINE = timedelta(seconds=15)

KUBELET_CONFIG = "/var/lib/kubelet/kubelet.conf"
CONTAINERD_CONFIG = "/etc/containerd/config.toml"
_KUBELET_FLAGS = "/etc/sysconfig/kubelet"
_CONTAINERD_FLAGS = "/etc/sysconfig/containerd"
#: kubelet's default, and the only place that it is written down besides its source: kubelet's reference of --healthz-port.
_HEALTHZ_PORT = 10248
_SOCKET = "/run/containerd/containerd.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthEndpoint:
    """GET /healthz, answered with 200."""

    address: str
    port: int

    def __str__(self) -> str:
        """Return it as people write it."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{address}:{self.port}/healthz"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcSocket:
    """A Unix socket on which an HTTP/2 server greets."""

    path: str

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"unix://{self.path}"


Endpoint = HealthEndpoint | GrpcSocket


def endpoint_of(unit: str, host: Host) -> Endpoint | None:
    """Return where a unit answers; None for one that has nothing to ask, or was told not to answer."""
    match unit:
        case "kubelet.service":
            return _kubelet(host)
        case "containerd.service":
            return _containerd(host)
        case _:
            return None


def _kubelet(host: Host) -> HealthEndpoint | None:
    try:
        config = as_mapping(load_yaml(text_if_there(host, KUBELET_CONFIG), where=KUBELET_CONFIG), where=KUBELET_CONFIG)
    except SpecError:
        config = {}
    flag = re.search(r"--healthz-port=(\d+)", text_if_there(host, _KUBELET_FLAGS))
    given = flag[1] if flag else config.get("healthzPort", _HEALTHZ_PORT)
    port = int(given) if isinstance(given, int) or (isinstance(given, str) and given.isdigit()) else _HEALTHZ_PORT
    address = str(config.get("healthzBindAddress") or "127.0.0.1")
    if address in {"0.0.0.0", "::"}:  # noqa: S104 - what it is bound to; it is asked on the loopback
        address = "::1" if ":" in address else "127.0.0.1"
    return HealthEndpoint(address=address, port=port) if port else None


def _containerd(host: Host) -> GrpcSocket:
    flag = re.search(r"--address[= ](/\S+)", text_if_there(host, _CONTAINERD_FLAGS))
    if flag:
        return GrpcSocket(path=flag[1].strip("\"'"))
    try:
        address = tomllib.loads(text_if_there(host, CONTAINERD_CONFIG)).get("grpc", {}).get("address")
    except (tomllib.TOMLDecodeError, AttributeError):
        address = None
    return GrpcSocket(path=address if isinstance(address, str) and address else _SOCKET)
