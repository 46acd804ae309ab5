"""Rules about the operating system: architecture, packages, cgroups, swap, kernel. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from agents.diagnosis import Found, Unknown, critical, warning
from nodeup.doctor.view import NodeView

#: Without them no pod reaches another; everything else in our sysctl file is tuning.
_NEEDED_SETTINGS = frozenset({"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.bridge.bridge-nf-call-iptables"})


def wrong_architecture(view: NodeView) -> Iterator[Found]:
    """A program is of another architecture, or no program at all."""
    ours, programs = view.machine.architecture, view.machine.programs
    if isinstance(ours, Unknown) or isinstance(programs, Unknown):
        return
    for one in programs:
        if one.architecture and one.architecture != ours:
            yield critical(
                f"{one.path} is of {one.architecture}, and this machine is {ours}",
                evidence=f"the ELF header of {one.path}",
                fix="the instance group's image and machine type must have one architecture; nodeup apply installs it anew",
            )


#: More are not named in the evidence.
_SHOWN_PACKAGES = 8


def broken_packages(view: NodeView) -> Iterator[Found]:
    """The package manager was interrupted."""
    said = view.machine.dpkg_audit
    if not isinstance(said, Unknown) and said:
        # A heading for each kind of trouble, then lines " name   description".
        names = [line.split()[0] for line in said.splitlines() if line.startswith(" ") and line.strip()]
        yield critical(
            "packages are half installed: no package can be installed until that is repaired",
            evidence=f"dpkg --audit: {' '.join(names[:_SHOWN_PACKAGES]) or said.splitlines()[0]}{' …' if names[_SHOWN_PACKAGES:] else ''}",
            fix="dpkg --configure -a (nodeup apply does it)",
        )


def cgroup_drivers_differ(view: NodeView) -> Iterator[Found]:
    """Kubelet and containerd keep cgroups differently."""
    kubelet, containerd = view.machine.kubelet_cgroup_driver, view.machine.containerd_uses_systemd_cgroup
    if isinstance(kubelet, Unknown) or isinstance(containerd, Unknown) or not kubelet or containerd is None:
        return
    if (kubelet == "systemd") != containerd:
        yield critical(
            f"kubelet's cgroup driver is {kubelet}, and containerd's is {'systemd' if containerd else 'cgroupfs'}",
            evidence=f"kubelet.conf: cgroupDriver: {kubelet}; config.toml: SystemdCgroup = {str(containerd).lower()}",
            fix="nodeup plan shows which file was changed; nodeup apply",
        )


def cgroups_of_old(view: NodeView) -> Iterator[Found]:
    """Cgroups are those of old, which newer kubelets refuse."""
    if view.machine.cgroup_version == 1:
        yield warning(
            "this machine has cgroup v1, with which kubelet of Kubernetes 1.35 and newer does not start",
            evidence="/sys/fs/cgroup/cgroup.controllers does not exist",
            fix="boot with systemd.unified_cgroup_hierarchy=1, or use a newer image",
        )


def swap(view: NodeView) -> Iterator[Found]:
    """Swap is on, and kubelet was not told that it may be."""
    swaps, fails = view.machine.swaps, view.machine.fail_swap_on
    if isinstance(swaps, Unknown) or not swaps or fails is False or isinstance(fails, Unknown):
        return
    yield critical(
        "swap is on, and kubelet does not start with it",
        evidence=f"/proc/swaps: {', '.join(swaps)}",
        fix="swapoff -a, and take it out of /etc/fstab; or set kubelet's failSwapOn: false",
    )


def modules(view: NodeView) -> Iterator[Found]:
    """A kernel module that networking needs is not loaded."""
    missing = view.machine.missing_modules
    if not isinstance(missing, Unknown) and missing:
        yield warning(
            f"kernel modules are not loaded: {', '.join(missing)}",
            evidence=f"no /sys/module/{missing[0]}",
            fix=f"modprobe {missing[0]}; on RHEL 10: dnf install kernel-modules-extra-$(uname -r)",
        )


def settings(view: NodeView) -> Iterator[Found]:
    """Kernel parameters are not as our file says."""
    wrong = view.machine.wrong_settings
    if isinstance(wrong, Unknown) or not wrong:
        return
    evidence = "; ".join(f"{one.name} is {one.found}, wanted {one.wanted}" for one in wrong[:3])
    fix = "sysctl --system, and look for a later file in /etc/sysctl.d that sets it otherwise"
    needed = [one.name for one in wrong if one.name in _NEEDED_SETTINGS]
    if needed:
        yield critical(f"packets of pods are not forwarded: {', '.join(needed)}", evidence=evidence, fix=fix)
    else:
        yield warning(f"{len(wrong)} kernel parameters are not as /etc/sysctl.d says", evidence=evidence, fix=fix)
