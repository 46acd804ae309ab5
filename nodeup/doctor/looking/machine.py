"""Looking at the operating system: programs' architecture, packages, cgroups, swap, modules, kernel parameters."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from datetime import timedelta

from agents.diagnosis import Observed, attempt
from agents.documents import as_mapping, load_yaml
from agents.errors import NotFoundError
from agents.host.elf import HEAD_BYTES, elf_architecture
from agents.host.protocol import Host
from agents.host.reading import text_if_there, text_of
from nodeup.doctor.view import MachineView, Program, Setting

KUBELET_CONFIG = "/var/lib/kubelet/kubelet.conf"
CONTAINERD_CONFIG = "/etc/containerd/config.toml"
MODULES = "/etc/modules-load.d/99-kubernetes.conf"
SETTINGS = "/etc/sysctl.d/99-k8s-general.conf"
#: The programs that nodeup installs and that a node cannot do without, in the places that distributions have for them.
PROGRAMS = (
    "/usr/local/bin/kubelet",
    "/opt/kubernetes/bin/kubelet",
    "/home/kubernetes/bin/kubelet",
    "/usr/bin/containerd",
    "/usr/sbin/runc",
    "/opt/cni/bin/loopback",
)
_KERNEL_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
#: dpkg --audit reads the database of all packages, from a cold disk perhaps.
_DPKG_DEADLINE = timedelta(seconds=10)


def look_at_machine(host: Host) -> MachineView:
    """Return the view."""
    kubelet = attempt(lambda: as_mapping(load_yaml(text_of(host, KUBELET_CONFIG), where=KUBELET_CONFIG), where=KUBELET_CONFIG))
    return MachineView(
        architecture=_KERNEL_MACHINES.get(os.uname().machine, os.uname().machine),
        programs=attempt(lambda: tuple(_programs(host))),
        dpkg_audit=attempt(lambda: _dpkg_audit(host)),
        cgroup_version=attempt(lambda: 2 if host.stat("/sys/fs/cgroup/cgroup.controllers") is not None else 1),
        kubelet_cgroup_driver=_of(kubelet, "cgroupDriver", ""),
        containerd_uses_systemd_cgroup=attempt(lambda: _systemd_cgroup(tomllib.loads(text_of(host, CONTAINERD_CONFIG)))),
        swaps=attempt(lambda: tuple(line.split()[0] for line in text_of(host, "/proc/swaps").splitlines()[1:])),
        fail_swap_on=_of(kubelet, "failSwapOn", None),
        missing_modules=attempt(lambda: tuple(_missing_modules(host))),
        wrong_settings=attempt(lambda: tuple(_wrong_settings(host))),
    )


def _of(kubelet: Observed[dict[str, object]], key: str, absent: object) -> Observed:  # type: ignore[type-arg]
    """Return a field of kubelet.conf, whose type the view's rules check no further than for truth."""
    return kubelet.get(key, absent) if isinstance(kubelet, dict) else kubelet


def _programs(host: Host) -> Iterator[Program]:
    for path in PROGRAMS:
        try:
            head = next(iter(host.read_chunks(path, size=HEAD_BYTES)), b"")
        except NotFoundError:
            continue
        yield Program(path=path, architecture=elf_architecture(head))


def _dpkg_audit(host: Host) -> str:
    """Return what dpkg complains of; "" on a distribution without dpkg."""
    if host.stat("/var/lib/dpkg/status") is None:
        return ""
    return host.run(["dpkg", "--audit"], timeout=_DPKG_DEADLINE).stdout.strip()


def _systemd_cgroup(tree: object) -> bool | None:
    """Return the first SystemdCgroup in containerd's configuration, wherever its version keeps it."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key == "SystemdCgroup" and isinstance(value, bool):
                return value
            found = _systemd_cgroup(value)
            if found is not None:
                return found
    return None


def _missing_modules(host: Host) -> Iterator[str]:
    """Yield the modules of our file that are neither loaded nor built in."""
    release = os.uname().release
    built_in = text_if_there(host, f"/lib/modules/{release}/modules.builtin")
    for line in text_if_there(host, MODULES).split():
        name = line.replace("-", "_")
        if host.stat(f"/sys/module/{name}") is None and f"/{name}.ko" not in built_in.replace("-", "_"):
            yield line


def _wrong_settings(host: Host) -> Iterator[Setting]:
    """Yield the parameters of our file that the kernel has otherwise; those that it does not have at all are skipped, as sysctl does."""
    wanted = {}
    for line in text_if_there(host, SETTINGS).splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.lstrip().startswith(("#", ";")):
            wanted[name.strip().lstrip("-")] = " ".join(value.split())
    for name, value in wanted.items():
        if "*" in name:
            continue
        found = " ".join(text_if_there(host, f"/proc/sys/{name.replace('.', '/')}").split())
        if found and found != value and not _same_ports(found, value):
            yield Setting(name=name, wanted=value, found=found)


def _same_ports(found: str, wanted: str) -> bool:
    """Whether two lists of ports are the same: the kernel joins neighbours, "1-2,3" becomes "1-3"."""
    return found.replace(" ", "") == wanted.replace(" ", "")
