"""Cilium: the file systems its programs live in, its way to an etcd of its own, and quiet from network managers."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.certificates import KUBELET, bootstrap_output, certificate_files, client_certificate
from nodeup.planners.context import PlanContext, Profile
from nodeup.planners.keys import bundle_file
from nodeup.planners.networking.host_network import (
    ignore_hotplugged_interfaces,
    ignore_secondary_interfaces,
    keep_foreign_routes,
    keep_mac_addresses,
    remove_policy_routes,
)
from nodeup.planners.parts import running_unit
from nodeup.render.systemd_unit import UnitSection, render_unit
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource

_ETCD_CA = "etcd-clients-ca-cilium"
_PKI = "/etc/kubernetes/pki/cilium"


def plan_cilium(context: PlanContext) -> Iterator[AnyResource]:
    """Plan what Cilium's pods expect to find on the machine."""
    if context.spec.config.boolean("UseCiliumEtcd"):
        yield from _plan_etcd_access(context)
    cilium = context.spec.networking.optional("cilium")
    if cilium is None:
        return
    yield from _plan_mounts(context)
    yield from keep_foreign_routes(context)
    yield from ignore_hotplugged_interfaces(context)
    if cilium.text("ipam") == "eni":
        yield from remove_policy_routes(context)
        yield from keep_mac_addresses(context)
        yield from ignore_secondary_interfaces(context)


def _plan_etcd_access(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the client certificate for Cilium's own etcd cluster, issued here or by kops-controller."""
    name = "etcd-client-cilium"
    yield bundle_file(context, _ETCD_CA, f"{_PKI}/etcd-ca.crt", mode=0o600)
    if context.has_api_server:
        certificate = client_certificate(context, name, common_name="cilium", signer=_ETCD_CA)
        yield from certificate_files(certificate, _PKI, name=name)
        return
    yield File(path=f"{_PKI}/{name}.crt", content=bootstrap_output(name, "cert"), mode=0o644, before_services=(KUBELET,))
    yield File(path=f"{_PKI}/{name}.key", content=bootstrap_output(name, "key"), mode=0o400, before_services=(KUBELET,))


def _plan_mounts(context: PlanContext) -> Iterator[AnyResource]:
    """Plan mount units for the file systems that are not there already.

    They must outlive Cilium's pods: a BPF file system inside a pod would take the data path down with it. /sys/fs/bpf is an API
    file system, which systemd mounts itself and for which it refuses units (seen with 252); only kops' profile has that one.
    """
    filesystems = context.facts.filesystems
    if context.profile is Profile.KOPS and filesystems.get("/sys/fs/bpf") != "bpf":
        yield running_unit("sys-fs-bpf.mount", _mount_unit("Cilium BPF mounts", what="bpffs", where="/sys/fs/bpf", filesystem="bpf"))
    if filesystems.get("/run/cilium/cgroupv2") != "cgroup2":
        definition = _mount_unit("Cilium Cgroup2 mounts", what="cgroup2", where="/run/cilium/cgroupv2", filesystem="cgroup2")
        yield running_unit("run-cilium-cgroupv2.mount", definition, smart_restart=False)


def _mount_unit(description: str, *, what: str, where: str, filesystem: str) -> str:
    # The empty first line is kops'.
    return "\n" + render_unit(
        UnitSection(
            name="Unit",
            settings=(
                ("Description", description),
                ("Documentation", "http://docs.cilium.io/"),
                ("DefaultDependencies", "no"),
                ("Before", "local-fs.target umount.target kubelet.service"),
            ),
        ),
        UnitSection(name="Mount", settings=(("What", what), ("Where", where), ("Type", filesystem))),
        UnitSection(name="Install", settings=(("WantedBy", "multi-user.target"),)),
    )
