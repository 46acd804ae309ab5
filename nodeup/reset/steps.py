"""What has to be done to a machine so that nothing of the node is left: from a view to ordered steps. Pure.

Two things never happen, whatever the view: a path that is, holds, or lies below an etcd volume is touched; or a path is
touched that is neither in `TREES` nor written by nodeup. `kubeadm reset` leaves the rest of this list to a web page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from posixpath import normpath

#: What is removed with everything below, but for what `looking` knows to be an operator's.
TREES = (
    "/etc/kubernetes",
    "/etc/srv/kubernetes",
    "/srv/kubernetes",
    "/var/lib/kubelet",
    "/var/lib/kube-proxy",
    "/var/lib/kube-scheduler",
    "/var/lib/kube-controller-manager",
    "/var/lib/kube-router",
    "/var/lib/kops",
    "/var/lib/kubectl",
    "/etc/cni/net.d",
    "/var/lib/cni",
    "/opt/cni/bin",
    "/run/flannel",
    "/run/calico",
    "/var/lib/calico",
    "/run/cilium",
    "/var/lib/cilium",
    "/run/containerd",
    "/var/log/pods",
    "/var/log/containers",
    "/var/lib/node-agents/nodeup",
)
#: Kept with --keep-images: pulling again is what takes the time of the next join.
IMAGE_TREES = ("/var/lib/containerd", "/var/cache/nodeup")
#: Stopped in this order: who starts others first. Instances of templates come as they are found.
UNITS = ("kops-configuration.service", "kubelet.service", "etcd-manager@", "protokube.service")
#: Stopped once its pods are gone.
RUNTIME = "containerd.service"
_LINKS = re.compile(
    r"cni\d+|flannel(\.|-v6\.)?\d*|cilium_.*|lxc[0-9a-f_]+.*|cali[0-9a-f]{6,}|tunl0|vxlan\.calico|kube-ipvs0|nodelocaldns|kube-bridge"
)
#: Chains of kube-proxy, kubelet, and the network plugins.
_CHAINS = re.compile(r"(KUBE|CNI|CILIUM|OLD_CILIUM|cali|FLANNEL|KUBE-ROUTER|AWS)[-_:].*")
_NFT_TABLES = re.compile(r"kube-proxy|kindnet.*|cilium.*|calico")
#: Mounts that pods and sandboxes leave.
_MOUNT_TREES = ("/var/lib/kubelet", "/run/containerd", "/run/netns/cni-", "/var/lib/containerd", "/run/cilium", "/run/calico")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetView:
    """What is on the machine of what a node leaves."""

    #: Names of units that run, or that the next boot would start.
    units: tuple[str, ...] = ()
    #: Ids of pods that containerd keeps.
    pods: tuple[str, ...] = ()
    mount_points: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    #: (command, its output) of "iptables" and "ip6tables", as *-save prints it.
    rules: tuple[tuple[str, str], ...] = ()
    #: (family, name).
    nft_tables: tuple[tuple[str, str], ...] = ()
    has_ipvs: bool = False
    #: Those of our trees and files that exist.
    existing: tuple[str, ...] = ()
    #: (tree, what of it is to go) for those of our trees that hold something that stays.
    parts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    #: Files and unit files that nodeup wrote, by its own record, where nothing stood before.
    owned: tuple[str, ...] = ()
    #: Where etcd's data, or a backup store, is, or may be.
    protected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StopUnit:
    """Stop a unit, and disable it unless it is an instance."""

    unit: str

    @property
    def text(self) -> str:
        """For people."""
        return f"stop     {self.unit}"

    @property
    def command(self) -> tuple[str, ...]:
        """The command that does it."""
        return ("systemctl", "stop", self.unit) if "@" in self.unit else ("systemctl", "disable", "--now", self.unit)


@dataclass(frozen=True, slots=True)
class RemovePod:
    """Stop and remove a pod's containers and its sandbox."""

    pod: str

    @property
    def text(self) -> str:
        """For people."""
        return f"remove   pod {self.pod[:13]}"

    @property
    def command(self) -> tuple[str, ...]:
        """The command that does it."""
        return ("crictl", "rmp", "--force", self.pod)


@dataclass(frozen=True, slots=True)
class Unmount:
    """Unmount what a pod left."""

    path: str

    @property
    def text(self) -> str:
        """For people."""
        return f"unmount  {self.path}"

    @property
    def command(self) -> tuple[str, ...]:
        """The command that does it."""
        return ("umount", self.path)


@dataclass(frozen=True, slots=True)
class DeleteLink:
    """Delete a network interface."""

    link: str

    @property
    def text(self) -> str:
        """For people."""
        return f"delete   interface {self.link}"

    @property
    def command(self) -> tuple[str, ...]:
        """The command that does it."""
        return ("ip", "link", "delete", self.link)


@dataclass(frozen=True, slots=True)
class RestoreRules:
    """Load the rules of iptables or ip6tables without ours."""

    table_command: str
    #: Its input.
    rules: str
    chains: int

    @property
    def text(self) -> str:
        """For people."""
        return f"delete   {self.chains} chains of {self.table_command}, and the rules that lead to them"

    @property
    def command(self) -> tuple[str, ...]:
        """The command that does it; it reads `rules`."""
        return (f"{self.table_command}-restore",)


@dataclass(frozen=True, slots=True)
class DeleteTable:
    """Delete a table of nftables."""

    family: str
    name: str

    @property
    def text(self) -> str:
        """For people."""
        return f"delete   nftables' table {self.family} {self.name}"

    @property
    def command(self) -> tuple[str, ...]:
        """The command that does it."""
        return ("nft", "delete", "table", self.family, self.name)


@dataclass(frozen=True, slots=True)
class ClearIpvs:
    """Delete all virtual servers."""

    @property
    def text(self) -> str:
        """For people."""
        return "delete   all virtual servers of IPVS"

    @property
    def command(self) -> tuple[str, ...]:
        """The command that does it."""
        return ("ipvsadm", "--clear")


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file, or a directory with everything below that is on its file system."""

    path: str

    @property
    def text(self) -> str:
        """For people."""
        return f"remove   {self.path}"

    @property
    def command(self) -> tuple[str, ...]:
        """The command that does it; none: it takes more than one, and care."""
        return ()


Step = StopUnit | RemovePod | Unmount | DeleteLink | RestoreRules | DeleteTable | ClearIpvs | Remove


def steps(view: ResetView, *, keep_images: bool) -> tuple[Step, ...]:
    """Return what is left to do, in order; nothing where nothing is left."""
    stopped = [unit for prefix in UNITS for unit in view.units if unit.startswith(prefix)]
    runtime = [unit for unit in view.units if unit == RUNTIME]
    rules = (_without_ours(command, saved) for command, saved in view.rules)
    return (
        *(StopUnit(unit) for unit in dict.fromkeys(stopped)),
        *(RemovePod(pod) for pod in view.pods),
        *(StopUnit(unit) for unit in runtime),
        *(Unmount(path) for path in _unmounted(view)),
        *(DeleteLink(link) for link in view.links if _LINKS.fullmatch(link)),
        *(restored for restored in rules if restored is not None),
        *(DeleteTable(family, name) for family, name in view.nft_tables if _NFT_TABLES.fullmatch(name)),
        *([ClearIpvs()] if view.has_ipvs else []),
        *(Remove(path) for path in _removed(view, keep_images=keep_images)),
    )


def refused(view: ResetView, *, keep_images: bool) -> tuple[tuple[str, str], ...]:
    """Return the paths that would be removed or unmounted and are not, each with the etcd volume that is in the way."""
    candidates = (*_candidates(view, keep_images=keep_images), *(path for path in view.mount_points if _is_ours(path, _MOUNT_TREES)))
    found = ((path, _in_the_way(path, view.protected)) for path in dict.fromkeys(candidates))
    return tuple((path, volume) for path, volume in found if volume)


def touches(path: str, volume: str) -> bool:
    """Whether a path is, holds, or lies below a volume."""
    one, other = normpath(path), normpath(volume)
    return one == other or "/" in {one, other} or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _in_the_way(path: str, protected: Iterable[str]) -> str:
    return next((volume for volume in protected if volume and touches(path, volume)), "")


def _candidates(view: ResetView, *, keep_images: bool) -> Iterator[str]:
    trees = TREES if keep_images else (*TREES, *IMAGE_TREES)
    existing = set(view.existing)
    owned = [path for path in view.owned if path in existing and not _is_ours(path, (*trees, *IMAGE_TREES)) and normpath(path) == path]
    yield from (path for path in owned if path.startswith("/") and path.count("/") > 1)
    parts = dict(view.parts)
    yield from (path for tree in trees if tree in existing for path in parts.get(tree, (tree,)))


def _removed(view: ResetView, *, keep_images: bool) -> Iterator[str]:
    # What says where etcd's volumes are, and what is ours, goes last: a reset that was interrupted must still know.
    paths = [path for path in dict.fromkeys(_candidates(view, keep_images=keep_images)) if not _in_the_way(path, view.protected)]
    yield from sorted(paths, key=lambda path: path.startswith(("/etc/node-agents", "/var/lib/node-agents")))


def _unmounted(view: ResetView) -> tuple[str, ...]:
    """Return the mounts of pods, the deepest and the latest first."""
    # A tree that is a mount itself is a disk of the operator's, or what COS needs: it stays, and is emptied.
    pods = [path for path in view.mount_points if _is_ours(path, _MOUNT_TREES) and path not in _MOUNT_TREES]
    ours = [path for path in pods if not _in_the_way(path, view.protected)]
    latest_first = ours[::-1]
    return tuple(dict.fromkeys(sorted(latest_first, key=lambda path: -path.count("/"))))


def _is_ours(path: str, trees: Iterable[str]) -> bool:
    clean = normpath(path)
    return clean == path and any(path == tree or path.startswith(tree if tree.endswith("-") else f"{tree}/") for tree in trees)


def _without_ours(command: str, saved: str) -> RestoreRules | None:
    """Return the rules without our chains, what is in them, and what jumps to them; None where there are none of ours."""
    kept, gone = [], set()
    for line in saved.splitlines():
        words = line.split()
        if words and words[0].startswith(":") and _CHAINS.fullmatch(words[0][1:]):
            gone.add(words[0][1:])
            continue
        if words[:1] == ["-A"] and any(_CHAINS.fullmatch(word) for word in (words[1:2] + _targets(words))):
            gone.update(word for word in words[1:2] if _CHAINS.fullmatch(word))
            gone.add("")
            continue
        kept.append(line)
    chains = len(gone - {""})
    return RestoreRules(command, "".join(f"{line}\n" for line in kept), chains) if gone else None


def _targets(words: list[str]) -> list[str]:
    """Return where a rule leads: behind its last -j or -g, for a comment before that may hold anything."""
    return [words[index + 1] for index, word in enumerate(words[:-1]) if word in {"-j", "-g"}][-1:]
