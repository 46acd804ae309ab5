"""Small files in the place of Kubernetes' binaries, in archives of the real layout, so that a machine can be set up in seconds.

The programs are shell scripts that print a version, and the daemons among them wait to be stopped. etcd is real where it is given.
"""

from __future__ import annotations

import gzip
import io
import platform
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from agents.versions import Version
from examples.state_store.assets import ARCHITECTURES

CONTAINERD_VERSION = "2.3.4"
RUNC_VERSION = "1.4.3"
CNI_VERSION = "1.7.1"
CRICTL_VERSION = "1.34.0"

#: The plugins of the real archive that kubelet's usual configurations name.
CNI_PLUGINS = (
    "bandwidth",
    "bridge",
    "dhcp",
    "firewall",
    "host-device",
    "host-local",
    "ipvlan",
    "loopback",
    "macvlan",
    "portmap",
    "ptp",
    "vlan",
)

#: A daemon: systemd's Type=notify units wait for READY=1. Sent by a child process, it counts because the shell is the main
#: process and root may speak for it (systemd-notify does so by itself). `exec` makes the signal to stop go to sleep(1) directly.
DAEMON = """\
#!/bin/sh
# A stand-in for {name}, from examples/state_store: it runs, and does nothing.
case "$*" in
*--version*|*-v|version) echo "{version}"; exit 0;;
esac
if [ -n "$NOTIFY_SOCKET" ]; then systemd-notify --ready --status="stand-in"; fi
{answer}
exec sleep infinity
"""

#: How a stand-in answers where nodeup asks whether the real one works: /healthz, and the first frame of a gRPC server.
#: systemd-socket-activate is part of Debian's systemd, and serves one connection with each process.
KUBELET_ANSWER = """\
command -v systemd-socket-activate >/dev/null && exec systemd-socket-activate --accept --inetd --listen=127.0.0.1:10248 \\
  /bin/sh -c 'while read -r line && [ "${#line}" -gt 1 ]; do :; done; printf "HTTP/1.0 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"'
"""
CONTAINERD_ANSWER = """\
mkdir -p /run/containerd && rm -f /run/containerd/containerd.sock
command -v systemd-socket-activate >/dev/null && exec systemd-socket-activate --accept --inetd \\
  --listen=/run/containerd/containerd.sock /bin/sh -c 'printf "\\000\\000\\000\\004\\000\\000\\000\\000\\000"; cat >/dev/null'
"""

TOOL = """\
#!/bin/sh
# A stand-in for {name}, from examples/state_store: it succeeds, and does nothing.
case "$*" in
*--version*|*-v|version*) echo "{version}";;
esac
exit 0
"""


def stand_in_paths(kubernetes_version: Version, *, with_ecr: bool = True, etcd_version: Version | None = None) -> tuple[str, ...]:
    """Return where `make_stand_in_assets` puts its files, relative to its directory, for both architectures."""
    paths: list[str] = []
    for architecture in ARCHITECTURES:
        binaries = f"release/v{kubernetes_version}/bin/linux/{architecture}"
        paths += [
            f"{binaries}/kubelet",
            f"{binaries}/kubectl",
            f"cni-plugins-linux-{architecture}-v{CNI_VERSION}.tgz",
            f"containerd-{CONTAINERD_VERSION}-linux-{architecture}.tar.gz",
            f"runc.{architecture}",
            f"crictl-v{CRICTL_VERSION}-linux-{architecture}.tar.gz",
        ]
        if with_ecr:
            paths.append(f"ecr-credential-provider-linux-{architecture}")
        if etcd_version is not None:
            paths.append(f"etcd-v{etcd_version}-linux-{architecture}.tar.gz")
    return tuple(paths)


def make_stand_in_assets(directory: Path, etcd_binaries: Path | None = None, *, kubernetes_version: str = "1.34.0") -> tuple[Path, ...]:
    """Write stand-ins for both architectures below `directory`, and return their paths.

    `etcd_binaries` is a directory with a real `etcd` and `etcdctl` (and `etcdutl`, where the version has one); they go into
    an archive like the project's own, for this machine's architecture. The same input gives the same bytes, so hashes are stable.
    """
    version = Version.parse(kubernetes_version)
    for path in stand_in_paths(version):
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_content(target.name, version))
        target.chmod(0o755)
    paths = [directory / path for path in stand_in_paths(version)]
    if etcd_binaries is not None:
        paths.append(_pack_etcd(directory, etcd_binaries))
    return tuple(paths)


def _content(name: str, kubernetes_version: Version) -> bytes:
    """Return a stand-in by the name of its file."""
    if name.startswith("containerd-"):
        return _archive(
            {
                "bin/containerd": _script(
                    DAEMON, "containerd", f"containerd github.com/containerd/containerd/v2 v{CONTAINERD_VERSION} stand-in"
                ),
                "bin/containerd-shim-runc-v2": _script(TOOL, "containerd-shim-runc-v2", CONTAINERD_VERSION),
                "bin/containerd-stress": _script(TOOL, "containerd-stress", CONTAINERD_VERSION),
                "bin/ctr": _script(TOOL, "ctr", f"ctr github.com/containerd/containerd/v2 v{CONTAINERD_VERSION}"),
            }
        )
    if name.startswith("cni-plugins-"):
        plugins = {f"./{plugin}": _script(TOOL, plugin, f"CNI {plugin} plugin v{CNI_VERSION}") for plugin in CNI_PLUGINS}
        return _archive({"./LICENSE": b"A stand-in; no licence needed.\n", **plugins})
    if name.startswith("crictl-"):
        return _archive({"crictl": _script(TOOL, "crictl", f"crictl version v{CRICTL_VERSION}")})
    if name == "kubelet":
        return _script(DAEMON, name, f"Kubernetes v{kubernetes_version}")
    return _script(TOOL, name, f"Client Version: v{kubernetes_version}" if name == "kubectl" else f"{name} version {RUNC_VERSION}")


def _pack_etcd(directory: Path, binaries: Path) -> Path:
    """Pack the binaries as etcd's own releases do."""
    ran = subprocess.run([str(binaries / "etcd"), "--version"], check=True, capture_output=True, text=True, timeout=10)
    version = Version.parse(ran.stdout.splitlines()[0].rpartition(" ")[2])
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "amd64")
    top = f"etcd-v{version}-linux-{architecture}"
    path = directory / f"{top}.tar.gz"
    present = [binaries / name for name in ("etcd", "etcdctl", "etcdutl") if (binaries / name).is_file()]
    path.write_bytes(_archive({f"{top}/{binary.name}": binary.read_bytes() for binary in present}))
    return path


def _script(template: str, name: str, version: str) -> bytes:
    answer = CONTAINERD_ANSWER if name == "containerd" else KUBELET_ANSWER if name == "kubelet" else ""
    return template.format(name=name, version=version, answer=answer.rstrip()).encode()


def _archive(files: Mapping[str, bytes]) -> bytes:
    """Return a .tar.gz with directories before their files, and without anything that differs from one run to the next."""
    buffer = io.BytesIO()
    # Level 1: the largest content is a real etcd, which is packed for one test and unpacked once.
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, compresslevel=1) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for parent in _parents(files):
            entry = tarfile.TarInfo(parent)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _parents(names: Iterable[str]) -> list[str]:
    return sorted({name.rpartition("/")[0] for name in names if "/" in name})
