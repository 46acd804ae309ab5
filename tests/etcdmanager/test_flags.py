"""Configuration: Go-style flags, env-file, YAML file."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agents.errors import SpecError
from etcdmanager.flags import FLAGS, Kind, config_from, parse_env_file, parse_go_flags
from etcdmanager.spec import ManagerConfig, SeedPeer, cluster_names

#: What kops' metal end-to-end cluster passes (facts of its generated manifest).
METAL = (
    "--backup-store=file:///mnt/disks/backups",
    "--client-urls=https://__name__:4001",
    "--cluster-name=etcd",
    "--containerized=true",
    "--dns-suffix=.internal.metal.k8s.local",
    "--grpc-port=3996",
    "--peer-urls=https://__name__:2380",
    "--quarantine-client-urls=https://__name__:3994",
    '--static-config={"etcdVersion":"3.6.12","nodes":[{"id":"metal.k8s.local--main--0","ip":["node0.main.metal.k8s.local"]}]}',
    "--v=6",
    "--volume-provider=external",
    "--volume-tag=metal.k8s.local--main--",
)


def read_nothing(path: str) -> str:
    raise AssertionError(path)


def config(*argv: str, files: dict[str, str] | None = None, **environment: str) -> ManagerConfig:
    base = ("--cluster-name=etcd", "--backup-store=file:///backups")
    return config_from((*base, *argv), environment=environment, read_text=(files or {}).__getitem__)


def test_the_flags_that_kops_writes_make_the_node_that_kops_means() -> None:
    read = config_from(METAL, environment={"ETCD_MANAGER_DAILY_BACKUPS_RETENTION": "90d"}, read_text=read_nothing)
    node = read.node(peer_id="metal.k8s.local--main--0", address="10.0.0.1")
    assert node.peer_urls == ("https://metal.k8s.local--main--0.internal.metal.k8s.local:2380",)
    assert node.serving_urls(quarantined=True) == ("https://metal.k8s.local--main--0.internal.metal.k8s.local:3994",)
    assert read.seed_peers() == (SeedPeer(id="metal.k8s.local--main--0", endpoints=("node0.main.metal.k8s.local:3996",)),)
    assert read.static is not None
    assert read.static.cluster_spec.member_count == 1
    assert read.daily_retention == timedelta(days=90)
    assert read.etcd_environment == {}


def test_every_flag_fills_a_field_that_exists() -> None:
    known = set(ManagerConfig.__dataclass_fields__)
    assert {flag.field for flag in FLAGS if flag.kind not in {Kind.IGNORED, Kind.IGNORED_BOOLEAN}} <= known


def test_without_tls_for_etcd_all_urls_are_in_the_clear() -> None:
    node = config("--etcd-insecure").node(peer_id="a", address="::1")
    assert node.client_urls == ("http://[::1]:4001",)


def test_one_dash_or_two_and_a_value_as_the_next_word() -> None:
    assert parse_go_flags(["-v", "6", "--insecure", "-volume-tag=a", "--volume-tag", "b=c"]) == {
        "v": ("6",),
        "insecure": ("true",),
        "volume-tag": ("a", "b=c"),
    }


@pytest.mark.parametrize(
    "argv", [["--nonsense=1"], ["word"], ["--v"], ["-"], ["--grpc-port=x"], ["--insecure=maybe"], ["--peers=a"], ["--static-config={]"]]
)
def test_what_does_not_fit_is_named(argv: list[str]) -> None:
    with pytest.raises(SpecError):
        config(*argv)


def test_the_env_file_can_set_the_tunables_and_etcd_settings() -> None:
    text = "# tuned\n\n ETCD_QUOTA_BACKEND_BYTES = 1 \nETCD_MANAGER_CERT_DURATION=2y\nS3_REGION=eu=1\n"
    read = config("--env-file=/env", files={"/env": text})
    assert read.etcd_environment == {"ETCD_QUOTA_BACKEND_BYTES": " 1"}
    assert read.certificate_lifetime == timedelta(days=730)
    assert read.environment["S3_REGION"] == "eu=1"


@pytest.mark.parametrize("line", ["NAME", "=x", "9A=1", "export A=1"])
def test_a_bad_line_of_the_env_file_is_numbered(line: str) -> None:
    with pytest.raises(SpecError, match="line 2"):
        parse_env_file(f"A=1\n{line}\n", where="env")


def test_the_command_line_wins_over_the_file() -> None:
    text = """
kind: EtcdManagerConfig
flags: {grpc-port: 3996, volume-tag: [a, b=c], insecure: true, peer-urls: "https://__name__:2380"}
env: {ETCD_MANAGER_HOURLY_BACKUPS_RETENTION: 2d}
"""
    read = config("--config=/c", "--grpc-port=1", files={"/c": text})
    assert (read.grpc_port, read.volume_tags, read.insecure) == (1, ("a", "b=c"), True)
    assert read.hourly_retention == timedelta(days=2)


def test_a_list_in_the_file_is_all_of_its_items() -> None:
    read = config("--config=/c", files={"/c": "kind: EtcdManagerConfig\nflags: {binaries: [/a, /b], peers: [a=h, b=i]}\n"})
    assert read.binaries == ("/a", "/b")
    assert [seed.id for seed in read.seed_peers()] == ["a", "b"]


def test_seeds_get_the_own_port_unless_they_name_one() -> None:
    read = config("--grpc-port=7", "--peers=a=127.0.0.1,b=[::1]:9,c=::2")
    assert [seed.endpoints[0] for seed in read.seed_peers()] == ["127.0.0.1:7", "[::1]:9", "[::2]:7"]


def test_only_names_that_kops_knows_have_ports() -> None:
    assert cluster_names("events") is cluster_names("etcd-events")
    with pytest.raises(SpecError):
        cluster_names("other")


def test_credentials_are_not_shown() -> None:
    config = ManagerConfig(cluster_name="etcd", backup_store="s3://b/c", environment={"S3_SECRET_ACCESS_KEY": "open sesame"})
    assert "sesame" not in repr(config)


def test_variables_stand_in_for_flags_that_kops_does_not_know_and_are_not_etcds() -> None:
    read = config(ETCD_MANAGER_BACKUP_COPY_STORE="s3://far/etcd", ETCD_MANAGER_BACKUP_COPY_DAILY_RETENTION="1y")
    assert (read.backup_copy_store, read.copy_hourly_retention, read.copy_daily_retention) == ("s3://far/etcd", None, timedelta(days=365))
    assert read.etcd_environment == {}
    assert config("--backup-copy-store=file:///b", ETCD_MANAGER_BACKUP_COPY_STORE="s3://far/etcd").backup_copy_store == "file:///b"


def test_the_second_store_may_have_credentials_of_its_own() -> None:
    read = config(AWS_ACCESS_KEY_ID="one", COPY_STORE_AWS_ACCESS_KEY_ID="two")
    assert read.copy_environment["AWS_ACCESS_KEY_ID"] == "two"
    assert read.environment["AWS_ACCESS_KEY_ID"] == "one"


@pytest.mark.parametrize("copy", ["file:///backups", "file:///backups/", "file:///backups/copy", "file:///"])
def test_two_stores_must_not_lie_in_each_other(copy: str) -> None:
    with pytest.raises(SpecError, match="overlap"):
        config(f"--backup-copy-store={copy}")
