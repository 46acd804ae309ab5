"""Rules about disks: full, out of inodes, read-only. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from agents.diagnosis import Found, Unknown, critical, warning
from nodeup.doctor.view import NodeView

#: kubelet evicts pods at 10 % (nodefs.available) and removes images at 15 %: below the first the node is of no use.
EVICTION_PART = 0.10
IMAGE_REMOVAL_PART = 0.15
#: Where the file system that kubelet looks at (its own directory's, or containerd's) may be mounted.
KUBELETS = ("/", "/var", "/var/lib", "/var/lib/kubelet", "/var/lib/containerd")
#: kubelet's own threshold for inodes (nodefs.inodesFree).
INODES_PART = 0.05


def full(view: NodeView) -> Iterator[Found]:
    """Little or no space."""
    filesystems = view.disk.filesystems
    if isinstance(filesystems, Unknown):
        return
    for one in filesystems:
        if one.size_bytes <= 0:
            continue
        part = one.available_bytes / one.size_bytes
        evidence = f"df: {one.mount_point} has {_size(one.available_bytes)} of {_size(one.size_bytes)} left ({part:.0%})"
        fix = f"du -xh -d2 {one.mount_point} | sort -h | tail; crictl rmi --prune removes unused images"
        is_kubelets = one.mount_point in KUBELETS
        if part < EVICTION_PART:
            effect = "kubelet evicts pods and starts no new ones" if is_kubelets else "what is written there fails"
            yield critical(f"{one.mount_point} is full: {effect}", evidence=evidence, fix=fix)
        elif part < IMAGE_REMOVAL_PART:
            effect = ": kubelet removes images" if is_kubelets else ""
            yield warning(f"{one.mount_point} is nearly full{effect}", evidence=evidence, fix=fix)


def out_of_inodes(view: NodeView) -> Iterator[Found]:
    """No inodes left: files cannot be made though df shows space."""
    filesystems = view.disk.filesystems
    if isinstance(filesystems, Unknown):
        return
    for one in filesystems:
        if one.inodes > 0 and one.available_inodes / one.inodes < INODES_PART:
            yield critical(
                f"{one.mount_point} has no inodes left, whatever space there is",
                evidence=f"df -i: {one.available_inodes} of {one.inodes} left",
                fix=f"du --inodes -x -d3 {one.mount_point} | sort -n | tail",
            )


def read_only(view: NodeView) -> Iterator[Found]:
    """A file system that must be written to is read-only."""
    paths = view.disk.read_only
    if isinstance(paths, Unknown):
        return
    for path in paths:
        yield critical(
            f"{path} cannot be written: its file system is mounted read-only, which the kernel does after errors of a disk",
            evidence=f"/proc/self/mounts: {path} is ro",
            fix="dmesg -T | grep -iE 'error|remount'; then replace the machine, or fsck and reboot",
        )


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
