"""The assets of a Kubernetes 1.20 machine: what `build` built, and Debian's container runtime, packed as kops finds such things.

Everything is packed anew for each run (seconds); what is downloaded or built is kept in .cache/kubernetes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.machines.harness.shell import host

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("NODE_AGENTS_CACHE", ROOT / ".cache")) / "kubernetes"
VERSION = "1.20.2"

#: Bookworm's, because kubelet 1.20 speaks a version of the CRI that containerd 2 has dropped.
CONTAINERD, CNI_PLUGINS = "1.6.20", "1.1.1"
RUNTIME_PACKAGES = ("containerd", "runc", "containernetworking-plugins")
#: kube-proxy's image holds iptables and conntrack, with all that they are linked with.
PROXY_PACKAGES = (
    "iptables", "conntrack", "libc6", "libxtables12", "libip4tc2", "libip6tc2", "libmnl0", "libnftnl11", "libnfnetlink0",
    "libnetfilter-conntrack3",
)  # fmt: skip
IPTABLES = tuple(f"{family}{tool}" for family in ("iptables", "ip6tables") for tool in ("", "-save", "-restore"))

REGISTRY = "registry.k8s.io"
#: What the example cluster has as its sandbox image.
PAUSE = f"{REGISTRY}/pause:3.10.1"
HELLO = f"{REGISTRY}/hello:1"

#: A file in an archive, by its path there: a file of ours, or the target of a link.
Members = Mapping[str, Path | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image as `docker save` writes it, in a file of this name."""

    reference: str
    file: str
    entry_point: str
    members: Members


def make_assets(directory: Path, etcd_binaries: Path, healthcheck_image: str) -> tuple[str, ...]:
    """Fill the directory with everything that the specification lists; return the names of the image archives."""
    built = build()
    release = directory / f"release/v{VERSION}/bin/linux/amd64"
    release.mkdir(parents=True)
    for name in ("kubelet", "kubectl"):
        (release / name).symlink_to(built / name)
    tree = debian("runtime", RUNTIME_PACKAGES)
    programs = ("containerd", "containerd-shim-runc-v2", "ctr")
    pack(directory / f"containerd-{CONTAINERD}-linux-amd64.tar.gz", {f"bin/{name}": tree / "usr/bin" / name for name in programs})
    plugins = {f"./{plugin.name}": plugin for plugin in sorted((tree / "usr/lib/cni").iterdir())}
    pack(directory / f"cni-plugins-linux-amd64-v{CNI_PLUGINS}.tgz", plugins)
    shutil.copy2(tree / "usr/sbin/runc", directory / "runc.amd64")
    top = f"etcd-v{etcd_binaries.name}-linux-amd64"
    present = [path for path in (etcd_binaries / name for name in ("etcd", "etcdctl", "etcdutl")) if path.is_file()]
    pack(directory / f"{top}.tar.gz", {f"{top}/{path.name}": path for path in present})
    images = all_images(built, healthcheck_image)
    for image in images:
        save(directory / image.file, image)
    return tuple(image.file for image in images)


def all_images(built: Path, healthcheck_image: str) -> tuple[Image, ...]:
    """Return every image that the machine runs."""
    stand_ins = built / "stand-ins"
    iptables = dict.fromkeys((f"usr/sbin/{name}" for name in IPTABLES), "xtables-nft-multi")
    base: dict[str, Members] = {"kube-proxy": {**tree_members(debian("proxy", PROXY_PACKAGES)), **iptables}}
    components = tuple(
        Image(
            reference=f"{REGISTRY}/{name}:v{VERSION}",
            file=f"{name}-amd64.tar",
            entry_point=f"/usr/local/bin/{name}",
            members={**base.get(name, {}), "go-runner": stand_ins, f"usr/local/bin/{name}": built / name},
        )
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
    )
    others = (("pause", PAUSE), ("hello", HELLO), ("kube-apiserver-healthcheck", healthcheck_image))
    return (
        *components,
        *(
            Image(reference=reference, file=f"{name}-amd64.tar", entry_point=f"/{name}", members={name: stand_ins})
            for name, reference in others
        ),
    )


def build() -> Path:
    """Return the directory of Kubernetes' binaries; the first call takes many minutes."""
    subprocess.run([ROOT / "tests/kubernetes/build"], check=True, stdout=sys.stderr)
    return CACHE / VERSION


def debian(name: str, packages: tuple[str, ...]) -> Path:
    """Return the tree of these packages, unpacked."""
    key = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    directory = CACHE / f"{name}-{key}"
    if not directory.is_dir():
        part = CACHE / f".{name}-{key}"
        shutil.rmtree(part, ignore_errors=True)
        host(sys.executable, ROOT / "packaging/private_apt.py", "bookworm", part, *packages, timeout=600)
        part.rename(directory)
    return directory / "tree"


def tree_members(tree: Path) -> dict[str, Path | str]:
    """Return the programs and libraries of an unpacked tree, links as links."""
    found: dict[str, Path | str] = {}
    for path in sorted(tree.rglob("*")):
        relative = path.relative_to(tree).as_posix()
        if relative.startswith("usr/share/"):
            continue
        if path.is_symlink():
            found[relative] = path.readlink().as_posix()
        elif path.is_file():
            found[relative] = path
    return found


def pack(path: Path, members: Members) -> None:
    """Write a .tar.gz; at level 1, because it is read once."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        add_all(archive, members)


def save(path: Path, image: Image) -> None:
    """Write an image with one layer."""
    layer = path.with_suffix(".layer")
    with tarfile.open(layer, "w") as archive:
        add_all(archive, image.members)
    with layer.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    settings = {"Entrypoint": [image.entry_point], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "config": settings, "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]}}
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [image.reference], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as archive:
        archive.add(layer, "layer.tar")
        for name, content in ((config_name, config), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    layer.unlink()


def add_all(archive: tarfile.TarFile, members: Members) -> None:
    """Add files and links, owned by root, with the directories above them."""
    for directory in sorted({str(parent) for name in members for parent in Path(name).parents} - {"."}):
        entry = tarfile.TarInfo(directory)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(entry)
    for name, what in members.items():
        entry = tarfile.TarInfo(name)
        if isinstance(what, str):
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, what, 0o777
            archive.addfile(entry)
            continue
        entry.size, entry.mode = what.stat().st_size, what.stat().st_mode & 0o777
        with what.open("rb") as file:
            archive.addfile(entry, file)
