"""The agents as services: their files, units and programs."""

from __future__ import annotations

from typing import cast

import yaml

from nodeup.planners.context import PlanContext, Profile
from nodeup.planners.manifests import plan_manifests
from nodeup.planners.native_agents import plan_native_agents
from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.content import SecretLiteral
from nodeup.resources.file import File
from nodeup.resources.image import ImageFiles
from nodeup.resources.unit import Unit
from tests.fakes.plan_context import by_id, plan_context
from tests.nodeup.planners.control_plane import control_plane, etcd_pod

STORE = "s3://bucket/c.example.com/backups/etcd"
STATIC = '--static-config={"etcdVersion":"3.6.12","nodes":[{"id":"c--main--0","ip":["node0"]}]}'


def external(cluster: str, *flags: str) -> dict[str, object]:
    return etcd_pod(cluster, f"--backup-store={STORE}/{cluster}", "--volume-provider=external", f"--volume-tag=c--{cluster}--", *flags)


def document(context: PlanContext, path: str) -> dict[str, object]:
    file = by_id(plan_native_agents(context))[f"file:{path}"]
    assert isinstance(file, File)
    assert file.mode == 0o600
    assert isinstance(file.content, SecretLiteral)
    return cast("dict[str, object]", yaml.safe_load(file.content.content.reveal()))


def volume(context: PlanContext) -> dict[str, object]:
    return cast("list[dict[str, object]]", document(context, "/etc/node-agents/protokube.yaml")["volumes"])[0]


def flags(context: PlanContext) -> dict[str, object]:
    return cast("dict[str, object]", document(context, "/etc/node-agents/etcd-manager-main.yaml")["flags"])


def test_only_control_planes_of_the_native_profile_have_them() -> None:
    manifests = {"main": external("main")}
    assert list(plan_native_agents(plan_context())) == []
    kops = control_plane(profile=Profile.KOPS, manifests=manifests)
    assert list(plan_native_agents(kops)) == []
    assert [resource.id for resource in plan_manifests(kops)] == ["file:/etc/kubernetes/manifests/etcd-main.manifest"]
    assert list(plan_manifests(control_plane(manifests=manifests))) == []


def test_each_etcd_cluster_is_an_instance_that_restarts_with_its_file() -> None:
    planned = by_id(plan_native_agents(control_plane(manifests={"main": external("main"), "events": external("events")})))
    units = {name: unit for name, unit in planned.items() if isinstance(unit, Unit)}
    assert set(units) == {"unit:protokube.service", "unit:etcd-manager@main.service", "unit:etcd-manager@events.service"}
    instance = units["unit:etcd-manager@main.service"]
    assert "/etc/node-agents/etcd-manager-main.yaml" in instance.restart_on
    assert instance.enabled
    assert instance.running


def test_a_manager_gets_the_flags_of_the_pod_with_paths_of_the_machine() -> None:
    context = control_plane(manifests={"main": external("main", "--cluster-name=etcd", "--volume-tag=b=c", STATIC)})
    config = document(context, "/etc/node-agents/etcd-manager-main.yaml")
    assert (config["apiVersion"], config["kind"], config["etcdCluster"]) == ("node-agents/v1", "EtcdManagerConfig", "main")
    assert config["flags"] == {
        "backup-store": f"{STORE}/main",
        "binaries": ["/opt/etcd-v3.6.12"],
        "cluster-name": "etcd",
        "etcd-log-file": "/var/log/etcd-main.log",
        "pki-dir": "/etc/kubernetes/pki/etcd-manager-main",
        "static-config": STATIC.partition("=")[2],
        "volume-file": "/run/node-agents/volumes/main.json",
        "volume-provider": "external",
        "volume-tag": ["c--main--", "b=c"],
    }
    assert config["env"] == {"S3_SECRET_ACCESS_KEY": "hush", "ETCD_MANAGER_X": "1"}


def test_protokube_gets_credentials_and_not_the_tunables_of_etcd() -> None:
    config = document(control_plane(manifests={"main": external("main")}), "/etc/node-agents/protokube.yaml")
    assert config["env"] == {"S3_SECRET_ACCESS_KEY": "hush"}


def test_the_only_static_node_has_its_directory_by_name() -> None:
    assert volume(control_plane(manifests={"main": external("main", STATIC)})) == {
        "etcdCluster": "main",
        "memberName": "c--main--0",
        "find": {"directory": "/mnt/disks/c--main--0"},
        "mountPoint": "/mnt/disks/c--main--0/mnt",
        "allowFormat": False,
        "backupStore": f"{STORE}/main",
    }


def test_one_of_several_is_found_by_the_prefix() -> None:
    assert volume(control_plane(manifests={"main": external("main")}))["find"] == {"directory": "/mnt/disks/c--main--*"}


def test_a_cloud_volume_is_found_by_its_tags() -> None:
    pod = etcd_pod(
        "main", "--volume-provider=aws", "--volume-tag=a", "--volume-tag=b=c", "--volume-name-tag=n", f"--backup-store={STORE}/main"
    )
    found = volume(control_plane(cloud="aws", manifests={"main": pod}))
    assert found["find"] == {"cloud": "aws", "tags": ["a", "b=c"], "nameTag": "n"}
    assert found["allowFormat"] is True


def test_protokube_restarts_when_an_operator_says_something_else_of_the_disks() -> None:
    assets = [{"path": f"/etc/node-agents/{name}", "content": ""} for name in ("protokube.d/disks.yaml", "protokube.data")]
    planned = by_id(plan_native_agents(control_plane(manifests={"main": external("main")}, config={"FileAssets": assets})))
    unit = planned["unit:protokube.service"]
    assert isinstance(unit, Unit)
    assert unit.restart_on == ("/etc/node-agents/protokube.yaml", "/etc/node-agents/protokube.d/disks.yaml")


def test_a_manager_is_told_its_address() -> None:
    context = control_plane(cloud="hetzner", private_ipv4="10.0.0.4", manifests={"main": external("main")})
    assert flags(context)["address"] == "10.0.0.4"
    nowhere = control_plane(manifests={"main": external("main")})
    assert "address" not in flags(nowhere)


def test_clusters_that_share_a_store_get_a_directory_each() -> None:
    shared = "--backup-store=file:///mnt/disks/backups"
    context = control_plane(manifests={name: etcd_pod(name, shared) for name in ("main", "events")})
    stores = [
        cast("dict[str, object]", document(context, f"/etc/node-agents/etcd-manager-{name}.yaml")["flags"])["backup-store"]
        for name in ("main", "events")
    ]
    assert stores == ["file:///mnt/disks/backups/main", "file:///mnt/disks/backups/events"]


def test_etcd_comes_from_an_asset_where_one_is_listed() -> None:
    url = "https://example.com/etcd-v3.5.16-linux-amd64.tar.gz"
    config = {"Assets": {"amd64": [f"{'0' * 64}@{url}"]}}
    context = control_plane(manifests={"main": external("main", STATIC)}, config=config)
    planned = list(plan_native_agents(context))
    (archive,) = (resource for resource in planned if isinstance(resource, ArchiveMembers))
    assert (archive.url, archive.directory) == (url, "/opt/etcd-v3.5.16")
    assert not any(isinstance(resource, ImageFiles) for resource in planned)
    assert flags(context)["binaries"] == ["/opt/etcd-v3.5.16"]


def test_otherwise_etcd_comes_from_the_image_of_the_wanted_version() -> None:
    images = {"3.5.31": "registry.example.com/etcd:v3.5.31", "3.6.12": "registry.example.com/etcd:v3.6.12"}
    fixed = control_plane(manifests={"main": etcd_pod("main", STATIC, images=images)})
    anyone = control_plane(manifests={"main": etcd_pod("main", images=images)})
    assert [r.image for r in plan_native_agents(fixed) if isinstance(r, ImageFiles)] == ["registry.example.com/etcd:v3.6.12"]
    assert [r.directory for r in plan_native_agents(anyone) if isinstance(r, ImageFiles)] == ["/opt/etcd-v3.5.31", "/opt/etcd-v3.6.12"]
