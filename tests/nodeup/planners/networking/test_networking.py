"""What network plugins need on the machine."""

from __future__ import annotations

import pytest

from agents.errors import SpecError
from nodeup.facts import Interface
from nodeup.planners.context import Profile
from nodeup.planners.networking.amazon_vpc import plan_amazon_vpc
from nodeup.planners.networking.calico import plan_calico
from nodeup.planners.networking.cilium import plan_cilium
from nodeup.planners.networking.common import plan_cni_plugins
from nodeup.planners.networking.kube_router import plan_kube_router
from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.certificate import Certificate
from nodeup.resources.content import FromResource
from nodeup.resources.file import File, Symlink
from nodeup.resources.unit import Unit
from tests.fakes.plan_context import CNI, MEMBERS, by_id, plan_context, text_of

_PRIMARY = Interface(name="ens5", mac="02:00:00:00:00:01", physical=True)
_DUMMY = Interface(name="dummy0", mac="02:00:00:00:00:01", physical=False)
_VPC: dict[str, object] = {"Networking": {"amazonVPC": {}}}
_ENI: dict[str, object] = {"Networking": {"cilium": {"ipam": "eni"}}}


def _networking(**plugin: object) -> dict[str, object]:
    return {"Networking": {"nonMasqueradeCIDR": "100.64.0.0/10", **plugin}}


def test_only_plugins_are_taken_from_the_plugins_archive() -> None:
    assert list(plan_cni_plugins(plan_context(config={"InstallCNIAssets": True}, members=MEMBERS))) == [
        ArchiveMembers(key="cni-plugins-linux-amd64-v1.9.1.tgz", url=CNI, pattern=r"^(\./)?[a-z0-9-]+$", directory="/opt/cni/bin")
    ]
    assert list(plan_cni_plugins(plan_context())) == []


def test_kops_copies_every_asset() -> None:
    planned = by_id(plan_cni_plugins(plan_context(config={"InstallCNIAssets": True}, members=MEMBERS, profile=Profile.KOPS)))
    assert {"file:/opt/cni/bin/bridge", "file:/opt/cni/bin/LICENSE", "file:/opt/cni/bin/kubelet"} <= set(planned)


@pytest.mark.parametrize(
    ("calico", "distribution", "wanted"), [({}, "ubuntu2404", 1), ({"wireguardEnabled": False}, "ubuntu2404", 0), ({}, "debian12", 0)]
)
def test_calico_gets_wireguard_on_ubuntu_unless_it_is_off(calico: dict[str, object], distribution: str, wanted: int) -> None:
    assert len(list(plan_calico(plan_context(config=_networking(calico=calico), distribution=distribution)))) == wanted


def test_calico_gets_no_wireguard_without_ipv4() -> None:
    assert list(plan_calico(plan_context(config={"Networking": {"calico": {}, "nonMasqueradeCIDR": "::/0"}}))) == []


def test_all_interfaces_but_the_primary_are_left_to_the_plugin() -> None:
    context = plan_context(distribution="debian12", config=_VPC, interfaces=[_PRIMARY, _DUMMY])
    assert "\nProperty=!INTERFACE=ens5\n" in text_of(plan_amazon_vpc(context), "/etc/systemd/network/75-eni-secondary.network")


def test_a_primary_interface_that_cannot_be_told_is_refused() -> None:
    with pytest.raises(SpecError, match="02:00:00:00:00:01"):
        list(plan_amazon_vpc(plan_context(distribution="debian12", config=_VPC, interfaces=[_DUMMY])))


@pytest.mark.parametrize(
    ("distribution", "paths"),
    [
        ("debian11", {"/etc/udev/rules.d/75-cloud-ifupdown.rules"}),
        ("rhel9", {"/etc/kops/nm-cloud-setup-disabled"}),
        ("rhel10", set()),
        ("flatcar", set()),
    ],
)
def test_network_managers_other_than_networkd_have_their_own_fixes(distribution: str, paths: set[str]) -> None:
    context = plan_context(distribution=distribution, config=_VPC, interfaces=[_PRIMARY])
    assert {resource.path for resource in plan_amazon_vpc(context) if isinstance(resource, File)} == paths


def test_cilium_mounts_what_is_not_mounted() -> None:
    config = _networking(cilium={})
    bare = by_id(plan_cilium(plan_context(config=config, distribution="flatcar")))
    unit = bare["unit:run-cilium-cgroupv2.mount"]
    assert isinstance(unit, Unit)
    assert "Where=/run/cilium/cgroupv2\n" in (unit.definition or "")
    mounted = {"/sys/fs/bpf": "bpf", "/run/cilium/cgroupv2": "cgroup2"}
    assert list(plan_cilium(plan_context(config=config, distribution="flatcar", filesystems=mounted))) == []


def test_a_unit_that_systemd_refuses_is_planned_only_in_kops_profile() -> None:
    config = _networking(cilium={})
    assert "unit:sys-fs-bpf.mount" not in by_id(plan_cilium(plan_context(config=config)))
    assert "unit:sys-fs-bpf.mount" in by_id(plan_cilium(plan_context(config=config, profile=Profile.KOPS)))


def test_cilium_with_interfaces_of_the_instance_keeps_networkd_off_them() -> None:
    with_eni = by_id(plan_cilium(plan_context(config=_ENI, interfaces=[_PRIMARY])))
    without = by_id(plan_cilium(plan_context(config=_networking(cilium={}))))
    assert "file:/etc/systemd/network/99-default.link" in with_eni
    assert "file:/etc/systemd/network/99-default.link" not in without


def test_ciliums_own_etcd_is_reached_with_a_certificate_issued_here_or_by_kops_controller() -> None:
    here = by_id(plan_cilium(plan_context(config={"UseCiliumEtcd": True}, role="ControlPlane")))
    asked = by_id(plan_cilium(plan_context(config={"UseCiliumEtcd": True})))
    certificate, key = here["certificate:etcd-client-cilium"], asked["file:/etc/kubernetes/pki/cilium/etcd-client-cilium.key"]
    assert isinstance(certificate, Certificate)
    assert (certificate.signer, certificate.keypair_id, certificate.common_name) == ("etcd-clients-ca-cilium", "4", "cilium")
    assert isinstance(key, File)
    assert key.content == FromResource("bootstrap:client", "etcd-client-cilium.key")
    assert key.before_services == ("kubelet.service",)


def test_kube_router_finds_the_names_of_routing_tables() -> None:
    planned = by_id(plan_kube_router(plan_context(config=_networking(kubeRouter={}))))
    assert planned["symlink:/usr/share/iproute2"] == Symlink(path="/usr/share/iproute2", target="/etc/iproute2")
    kubeconfig = planned["file:/var/lib/kube-router/kubeconfig"]
    assert isinstance(kubeconfig, File)
    assert kubeconfig.mode == 0o400
    assert list(plan_kube_router(plan_context())) == []
