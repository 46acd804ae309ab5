"""What a support bundle holds: gathered part by part, each of which may fail, redacted, and packed into one archive."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.errors import AgentError
from agents.host.protocol import FileKind, Host
from agents.host.reading import files_below
from nodeup.redaction import redact
from nodeup.resources.protocol import STATE_DIRECTORY

_DEADLINE = timedelta(seconds=20)
#: Of each journal.
JOURNAL_LINES = 2000
#: Of each file; longer ones are cut at their beginning, because what went wrong is at the end.
LARGEST_FILE_BYTES = 1 << 20

_UNITS = ("kops-configuration", "kubelet", "containerd", "protokube", "etcd-manager@main", "etcd-manager@events")
_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "system/uname": ("uname", "-a"),
    "system/uptime": ("uptime",),
    "system/units": ("systemctl", "list-units", "--all", "--no-pager", "--plain"),
    "system/failed-units": ("systemctl", "--failed", "--no-pager", "--plain"),
    "system/time": ("timedatectl",),
    "system/memory": ("free", "-m"),
    "system/processes": ("ps", "-eo", "pid,ppid,user,pcpu,rss,etime,comm"),
    "system/kernel-log": ("journalctl", "-k", "-b", "-n", "500", "--no-pager"),
    "disk/space": ("df", "-h"),
    "disk/inodes": ("df", "-i"),
    "disk/devices": ("lsblk", "-f"),
    "network/addresses": ("ip", "address"),
    "network/routes": ("ip", "route", "show", "table", "all"),
    "network/listeners": ("ss", "-ltnp"),
    "network/iptables": ("iptables-save",),
    "versions/kubelet": ("kubelet", "--version"),
    "versions/containerd": ("containerd", "--version"),
    "versions/runc": ("runc", "--version"),
    "versions/packages": ("dpkg-query", "-W"),
    "containers/pods": ("crictl", "pods"),
    "containers/containers": ("crictl", "ps", "-a"),
    "containers/images": ("crictl", "images"),
}
#: Plain files; a directory stands for the files in it.
_FILES = (
    "/etc/os-release",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/fstab",
    "/proc/self/mounts",
    "/proc/meminfo",
    "/opt/kops/conf/kube_env.yaml",
    "/etc/containerd/config.toml",
    "/etc/sysconfig/kubelet",
    "/var/lib/kubelet/kubelet.conf",
    "/etc/sysctl.d/99-k8s-general.conf",
    "/etc/kubernetes/manifests",
    "/etc/cni/net.d",
    "/run/node-agents/status",
    "/run/node-agents/volumes",
    f"{STATE_DIRECTORY}/last-run.json",
    f"{STATE_DIRECTORY}/network-facts.json",
    f"{STATE_DIRECTORY}/journal",
    "/var/log/cloud-init-output.log",
    "/var/log/kube-apiserver.log",
    "/var/log/etcd.log",
)
#: Shorter words of a JSON or YAML file with credentials are its fields' names.
_LONG_WORD = 16
#: Where keys and tokens are: nothing below is ever packed, and everything in them is looked for in what is.
SECRET_FILES = (
    "/etc/sysconfig/kops-configuration",
    "/etc/environment",
    "/root/.docker/config.json",
    "/var/lib/kubelet/config.json",
    "/srv/kubernetes/kube-apiserver/known_tokens.csv",
    "/srv/kubernetes/kube-apiserver/encryptionconfig.yaml",
)
_KEY_TREES = (
    "/srv/kubernetes",
    "/etc/srv/kubernetes",
    "/etc/kubernetes",
    f"{STATE_DIRECTORY}/certificates",
    f"{STATE_DIRECTORY}/bootstrap",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A file of the bundle, before redaction."""

    name: str
    content: bytes


def parts(host: Host) -> Iterator[Part]:
    """Yield everything but what other commands of nodeup say; what cannot be had is there with the reason."""
    for name, argv in _COMMANDS.items():
        yield Part(name=f"{name}.txt", content=attempted(lambda argv=argv: _output(host, argv)))  # type: ignore[misc]
    for unit in _UNITS:
        argv = ("journalctl", "-u", unit, "-n", str(JOURNAL_LINES), "--no-pager", "-o", "short-iso-precise")
        yield Part(name=f"journals/{unit}.log", content=attempted(lambda argv=argv: _output(host, argv)))  # type: ignore[misc]
    for path in _FILES:
        yield from _files(host, path)


def attempted(make: Callable[[], bytes]) -> bytes:
    """Return what is made, or in its place why that did not work."""
    try:
        return make()
    except AgentError as error:
        return f"not available: {error}\n".encode()
    except (OSError, ValueError) as error:
        return f"not available: {type(error).__name__}: {error}\n".encode()


def known_secrets(host: Host) -> frozenset[bytes]:
    """Return the secrets that are on the machine: private keys, tokens, and the values of variables that hold credentials."""
    found: set[bytes] = set()
    for path in SECRET_FILES:
        found |= set(_values(_read(host, path), path))
    for tree in _KEY_TREES:
        for path in files_below(host, tree, depth=4):
            if path.endswith(".key"):
                found.add(_read(host, path))
    return frozenset(found - {b""})


def packed(given: Collection[Part], secrets: Collection[bytes], *, name: str, now: datetime) -> bytes:
    """Return the bundle as tar.gz, each part redacted; the same input gives the same bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=int(now.timestamp())) as zipped, tarfile.open(fileobj=zipped, mode="w") as archive:
        for part in sorted(given, key=lambda one: one.name):
            content = redact(part.content, secrets)
            member = tarfile.TarInfo(f"{name}/{part.name}")
            member.size, member.mode, member.mtime = len(content), 0o600, int(now.timestamp())
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _output(host: Host, argv: tuple[str, ...]) -> bytes:
    result = host.run(argv, timeout=_DEADLINE)
    ended = "" if result.ok else f"(exit status {result.exit_code})\n{result.stderr}"
    return f"{result.stdout}{ended}".encode()


def _files(host: Host, path: str) -> Iterator[Part]:
    stat = host.stat(path)
    if stat is None:
        return
    if stat.kind is FileKind.DIRECTORY:
        for name in host.list(path):
            if not name.endswith(".key"):
                yield from _files(host, f"{path}/{name}")
        return
    yield Part(name=f"files{path}", content=attempted(lambda: host.read(path)[-LARGEST_FILE_BYTES:]))


def _read(host: Host, path: str) -> bytes:
    """Return a file's bytes; b"" where it cannot be read, and so cannot have come into the bundle either."""
    try:
        return host.read(path)
    except AgentError:
        return b""


def _values(content: bytes, path: str) -> Iterator[bytes]:
    """Yield the credentials in a file: of a CSV file the first column, of KEY=value lines the values, of all else the long words."""
    for line in content.splitlines():
        name, equals, value = line.partition(b"=")
        if path.endswith(".csv"):
            yield line.split(b",", 1)[0]
        elif equals and b" " not in name.strip() and b":" not in name:
            plain = value.strip().strip(b"\"'")
            yield from () if plain.startswith((b"http://", b"https://", b"/")) else (plain,)
        else:
            yield from (word for word in line.replace(b",", b" ").replace(b'"', b" ").split() if len(word) >= _LONG_WORD)
