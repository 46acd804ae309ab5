"""What distributions need of their own: firewalls, directories, update services, modules, volumes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents.errors import SpecError
from nodeup.planners.context import Profile
from nodeup.planners.directories import plan_directories
from nodeup.planners.firewall import plan_firewall
from nodeup.planners.kernel_modules import plan_kernel_modules
from nodeup.planners.update_service import plan_update_service
from nodeup.planners.volumes import plan_volumes
from nodeup.resources.mount import BindMount, FormattedVolume
from nodeup.resources.package import Package
from tests.fakes.plan_context import by_id, plan_context, text_of

_MODULES = "/etc/modules-load.d/99-kubernetes.conf"


def test_firewalld_ends_where_its_rules_would_overrule_ours() -> None:
    assert "file:/etc/kops/firewalld-disabled" in by_id(plan_firewall(plan_context(distribution="rhel10")))
    assert "file:/etc/kops/firewalld-disabled" not in by_id(plan_firewall(plan_context(distribution="rhel9")))


def test_container_optimized_os_gets_directories_that_programs_can_be_run_from() -> None:
    planned = by_id(plan_directories(plan_context(distribution="containeros")))
    assert planned["bind-mount:/opt/cni/bin"] == BindMount(
        source="/mnt/stateful_partition/opt/cni/bin", mountpoint="/opt/cni/bin", options=("exec", "nosuid", "nodev")
    )
    assert list(plan_directories(plan_context())) == []


def test_every_bind_mount_has_its_source_among_the_directories() -> None:
    planned = by_id(plan_directories(plan_context(distribution="containeros")))
    sources = {resource.source for resource in planned.values() if isinstance(resource, BindMount)}
    assert sources <= {name.removeprefix("directory:") for name in planned}


def test_updates_are_unattended_unless_somebody_else_makes_them() -> None:
    assert "package:unattended-upgrades" in by_id(plan_update_service(plan_context()))
    external = by_id(plan_update_service(plan_context(config={"UpdatePolicy": "external"})))
    assert set(external) == {"file:/etc/apt/apt.conf.d/20auto-upgrades"}
    assert list(plan_update_service(plan_context(distribution="rhel9"))) == []


def test_flatcars_reboots_are_off_unless_a_hook_has_the_units_name() -> None:
    assert set(by_id(plan_update_service(plan_context(distribution="flatcar")))) == {"unit:update-service.service"}
    hooked = plan_context(distribution="flatcar", config={"Hooks": [None, [{"name": "update-service.service"}]]})
    assert list(plan_update_service(hooked)) == []


@pytest.mark.parametrize(
    ("distribution", "networking", "modules"),
    [
        ("debian12", {}, ["br_netfilter"]),
        ("debian12", {"kindnet": {}}, ["nfnetlink_queue"]),
        ("rocky9", {}, ["br_netfilter", "nf_conntrack"]),
        ("rhel10", {"kindnet": {}}, ["nfnetlink_queue", "nf_tables", "nf_conntrack", "ip_set"]),
    ],
)
def test_kernel_modules_are_listed_for_every_boot(distribution: str, networking: dict[str, object], modules: list[str]) -> None:
    context = plan_context(distribution=distribution, config={"Networking": networking})
    assert text_of(plan_kernel_modules(context), _MODULES).split() == modules


def test_kops_plans_neither_modules_nor_volumes() -> None:
    context = plan_context(profile=Profile.KOPS, config={"VolumeMounts": [{"device": "/dev/xvdd", "path": "/data"}]})
    assert [*plan_kernel_modules(context), *plan_volumes(context)] == []


def test_an_extra_volume_is_planned_with_its_options() -> None:
    mount = {"device": "/dev/xvdd", "filesystem": "ext4", "path": "/data", "mountOptions": ["noatime"]}
    assert list(plan_volumes(plan_context(config={"VolumeMounts": [mount]}))) == [
        FormattedVolume(device="/dev/xvdd", path="/data", filesystem="ext4", mount_options=("noatime",))
    ]


def test_a_volume_without_a_file_system_gets_kops_default_and_its_own_options() -> None:
    mount = {"device": "/dev/xvdd", "path": "/data", "formatOptions": ["-m", "0"]}
    assert list(plan_volumes(plan_context(config={"VolumeMounts": [mount]}))) == [
        FormattedVolume(device="/dev/xvdd", path="/data", filesystem="ext4", format_options=("-m", "0"))
    ]


@pytest.mark.parametrize("mount", [{"path": "/data"}, {"device": "/dev/xvdd", "path": "data"}, {}])
def test_a_volume_without_a_place_is_said(mount: dict[str, object]) -> None:
    with pytest.raises(SpecError, match=r"VolumeMounts\[0\]: wanted absolute paths"):
        list(plan_volumes(plan_context(config={"VolumeMounts": [mount]})))


@pytest.mark.parametrize(
    ("distribution", "missing", "packages"),
    [
        ("rhel10", {"ip_set"}, ["kernel-modules-extra-6.12.0-1.el10.x86_64"]),
        ("rhel10", set(), []),
        ("rhel9", {"ip_set"}, []),
        ("debian12", {"nf_tables"}, []),
    ],
)
def test_modules_that_red_hats_kernel_lacks_come_in_a_package(distribution: str, missing: set[str], packages: list[str]) -> None:
    context = plan_context(distribution=distribution)
    facts = replace(context.facts, kernel_release="6.12.0-1.el10.x86_64", missing_kernel_modules=frozenset(missing))
    planned = plan_kernel_modules(replace(context, facts=facts))
    assert [one.name for one in planned if isinstance(one, Package)] == packages
