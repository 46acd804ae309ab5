"""What some clouds, machines and clusters need in addition."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents.errors import SpecError
from nodeup.assets.catalog import ArchiveMember
from nodeup.facts import InstanceType, OtherCloudFacts
from nodeup.planners.azure import plan_azure
from nodeup.planners.context import Profile
from nodeup.planners.gvisor import plan_gvisor
from nodeup.planners.images import plan_images
from nodeup.planners.ipv6_prefix import plan_ipv6_prefix
from nodeup.planners.linode import plan_linode
from nodeup.planners.nvidia import plan_nvidia
from nodeup.planners.tools import plan_nerdctl
from nodeup.planners.warm_pool import plan_warm_pool
from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.cloud import Ipv6Prefix
from nodeup.resources.content import FromAsset
from nodeup.resources.file import File
from nodeup.resources.image import ImageArchive, PulledImage
from tests.fakes.plan_context import by_id, plan_context, text_of

_IPV6 = {"Networking": {"nonMasqueradeCIDR": "::/0"}}
_NERDCTL = "https://example.com/nerdctl-2.0.0-linux-amd64.tar.gz"
_GPU = {"NvidiaGPU": {"enabled": True, "package": "driver"}, "containerdConfig": {"nvidiaGPU": {"enabled": True}, "version": "2.3.4"}}


def test_azures_disks_get_names_unless_the_image_knows_them() -> None:
    assert set(by_id(plan_azure(plan_context(cloud="azure")))) == {"file:/etc/udev/rules.d/80-azure-disk.rules"}
    known = plan_context(cloud="azure", existing_paths=("/etc/udev/rules.d/80-azure-disk.rules",))
    assert [*plan_azure(known), *plan_azure(plan_context())] == []


def test_linodes_swap_is_taken_out_of_fstab_and_nothing_else() -> None:
    fstab = "/dev/sda / ext4 defaults 0 1\n/dev/sdb none swap sw 0 0\n# swapped disks\n"
    context = plan_context(cloud="linode", fstab=fstab)
    assert text_of(plan_linode(context), "/etc/fstab") == "/dev/sda / ext4 defaults 0 1\n# swapped disks\n"


def test_a_kubelet_that_uses_swap_keeps_it() -> None:
    assert list(plan_linode(plan_context(cloud="linode", kubelet={"memorySwapBehavior": "LimitedSwap"}))) == []


def test_a_linode_is_named_as_its_node() -> None:
    context = plan_context(cloud="linode")
    named = replace(context, facts=replace(context.facts, cloud=OtherCloudFacts(label="Nodes-1")))
    assert named.node_name == "nodes-1"
    assert text_of(plan_linode(named), "/etc/hostname") == "Nodes-1\n"
    assert "file:/etc/hostname" not in by_id(plan_linode(replace(named, profile=Profile.KOPS)))


def test_pods_of_ipv6_only_clusters_get_a_prefix_where_the_cloud_gives_one() -> None:
    assert list(plan_ipv6_prefix(plan_context(config=_IPV6))) == [Ipv6Prefix(mac="02:00:00:00:00:01")]
    assert [*plan_ipv6_prefix(plan_context(config=_IPV6, cloud="gce")), *plan_ipv6_prefix(plan_context())] == []
    with pytest.raises(SpecError, match="openstack"):
        list(plan_ipv6_prefix(plan_context(config=_IPV6, cloud="openstack")))


def test_images_are_pulled_ahead_only_while_the_instance_warms_up() -> None:
    config = {"warmPoolImages": ["registry.example.com/a"]}
    assert list(plan_warm_pool(plan_context(config=config, lifecycle_state="Warmed:Pending"))) == [
        PulledImage(name="registry.example.com/a")
    ]
    assert list(plan_warm_pool(plan_context(config=config))) == []
    assert list(plan_warm_pool(plan_context(config=config, role="ControlPlane", lifecycle_state="Warmed:Pending"))) == []


def test_image_archives_are_those_of_this_architecture() -> None:
    entry = {"sources": ["https://a/x.tar", "https://b/x.tar"], "hash": "00"}
    context = plan_context(config={"images": {"amd64": [entry], "arm64": [{"sources": ["https://a/y.tar"], "hash": "11"}]}})
    assert list(plan_images(context)) == [ImageArchive(sources=("https://a/x.tar", "https://b/x.tar"), hash="00")]


def test_gpus_get_driver_and_toolkit_on_ubuntu() -> None:
    gpu = InstanceType(has_gpu=True, interfaces=2, addresses_per_interface=6)
    planned = by_id(plan_nvidia(plan_context(config=_GPU, instance_type=gpu)))
    assert {"apt-source:nvidia-container-toolkit", "package:nvidia-container-toolkit", "package:driver"} == set(planned)
    assert list(plan_nvidia(plan_context(config=_GPU, instance_type=gpu, distribution="debian12"))) == []
    without = InstanceType(has_gpu=False, interfaces=2, addresses_per_interface=6)
    assert list(plan_nvidia(plan_context(config=_GPU, instance_type=without))) == []


def test_gvisor_is_for_workers() -> None:
    config = {"GVisor": {"enabled": True}}
    assert "package:runsc" in by_id(plan_gvisor(plan_context(config=config)))
    assert list(plan_gvisor(plan_context(config=config, role="ControlPlane"))) == []


def test_tools_are_installed_from_known_and_from_unknown_archives() -> None:
    assert list(plan_nerdctl(plan_context())) == [
        ArchiveMembers(key="nerdctl-2.0.0-linux-amd64.tar.gz", url=_NERDCTL, pattern=r"^(\./)?nerdctl$", directory="/usr/local/bin")
    ]
    members = (ArchiveMember(path="nerdctl", archive=_NERDCTL), ArchiveMember(path="extras/nerdctl", archive=_NERDCTL))
    assert list(plan_nerdctl(plan_context(members=members[:1], distribution="flatcar"))) == [
        File(path="/opt/kops/bin/nerdctl", content=FromAsset("nerdctl", "nerdctl"), mode=0o755)
    ]


def test_where_containerd_is_not_ours_tools_come_when_asked_for() -> None:
    skipped: dict[str, object] = {"skipInstall": True}
    assert list(plan_nerdctl(plan_context(config={"containerdConfig": skipped}))) == []
    assert len(list(plan_nerdctl(plan_context(config={"containerdConfig": skipped | {"installNerdCtl": True}})))) == 1
