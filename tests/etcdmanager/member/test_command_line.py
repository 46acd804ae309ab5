"""The environment that etcd is started with."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import SpecError
from agents.versions import Version
from etcdmanager.member.command_line import EtcdSettings, TlsFiles, etcd_command, initial_cluster, settings_digest
from etcdmanager.peering.messages import EtcdCluster, EtcdState
from etcdmanager.spec import EtcdNode

NODE = EtcdNode(
    name="etcd-a",
    peer_urls=("https://etcd-a.internal:2380",),
    client_urls=("https://etcd-a.internal:4001",),
    quarantined_client_urls=("https://etcd-a.internal:3994",),
)
FILES = TlsFiles(trusted="/p/ca.crt", certificate="/p/me.crt", key="/p/me.key")


def settings(*, version: str = "3.5.16", quarantined: bool = False, new: bool = False) -> EtcdSettings:
    return EtcdSettings(
        name="etcd-a",
        node=NODE,
        state=EtcdState(cluster=EtcdCluster(token="T", nodes=(NODE,)), etcd_version=version, quarantined=quarantined, new_cluster=new),
        version=Version.parse(version),
        data_dir="/data/T",
        listen_host="0.0.0.0",  # noqa: S104  the default of kops
        peer_tls=FILES,
        client_tls=FILES,
        metrics_urls=("http://0.0.0.0:8081",),
    )


def environment(wanted: EtcdSettings, **inherited: str) -> dict[str, str]:
    return dict(etcd_command(wanted, inherited).environment)


def test_the_whole_environment_of_a_serving_member() -> None:
    assert environment(settings()) == {
        "ETCD_ADVERTISE_CLIENT_URLS": "https://etcd-a.internal:4001",
        "ETCD_CERT_FILE": "/p/me.crt",
        "ETCD_CLIENT_CERT_AUTH": "true",
        "ETCD_DATA_DIR": "/data/T",
        "ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK": "true",
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": "https://etcd-a.internal:2380",
        "ETCD_INITIAL_CLUSTER": "etcd-a=https://etcd-a.internal:2380",
        "ETCD_INITIAL_CLUSTER_STATE": "existing",
        "ETCD_INITIAL_CLUSTER_TOKEN": "T",
        "ETCD_KEY_FILE": "/p/me.key",
        "ETCD_LISTEN_CLIENT_URLS": "https://0.0.0.0:4001",
        "ETCD_LISTEN_METRICS_URLS": "http://0.0.0.0:8081",
        "ETCD_LISTEN_PEER_URLS": "https://0.0.0.0:2380",
        "ETCD_LOGGER": "zap",
        "ETCD_LOG_OUTPUTS": "stdout",
        "ETCD_NAME": "etcd-a",
        "ETCD_PEER_CERT_FILE": "/p/me.crt",
        "ETCD_PEER_CLIENT_CERT_AUTH": "true",
        "ETCD_PEER_KEY_FILE": "/p/me.key",
        "ETCD_PEER_TRUSTED_CA_FILE": "/p/ca.crt",
        "ETCD_QUOTA_BACKEND_BYTES": "8589934592",
        "ETCD_STRICT_RECONFIG_CHECK": "true",
        "ETCD_TRUSTED_CA_FILE": "/p/ca.crt",
    }


def test_what_the_operator_sets_wins() -> None:
    found = environment(settings(), ETCD_QUOTA_BACKEND_BYTES="1", ETCD_HEARTBEAT_INTERVAL="200", ETCD_MANAGER_CERT_DURATION="1d")
    assert found["ETCD_QUOTA_BACKEND_BYTES"] == "1"
    assert found["ETCD_HEARTBEAT_INTERVAL"] == "200"
    assert "ETCD_MANAGER_CERT_DURATION" not in found


@pytest.mark.parametrize("name", ["ETCD_DATA_DIR", "ETCD_NAME", "ETCD_INITIAL_CLUSTER", "ETCD_FORCE_NEW_CLUSTER", "ETCD_CONFIG_FILE"])
def test_who_the_member_is_cannot_be_overridden(name: str) -> None:
    assert environment(settings(), **{name: "other"}).get(name) != "other"


@given(
    st.dictionaries(
        st.sampled_from(
            ("ETCD_LISTEN_CLIENT_HTTP_URLS", "ETCD_LISTEN_METRICS_URLS", "ETCD_LISTEN_CLIENT_URLS", "ETCD_ADVERTISE_CLIENT_URLS")
        ),
        st.just("http://0.0.0.0:4001"),
    )
)
def test_in_quarantine_nothing_listens_but_the_quarantine_port_and_the_peers(inherited: dict[str, str]) -> None:
    found = environment(settings(quarantined=True), **inherited)
    listeners = {name: value for name, value in found.items() if "LISTEN" in name or "ADVERTISE_CLIENT" in name}
    assert listeners == {
        "ETCD_LISTEN_CLIENT_URLS": "https://0.0.0.0:3994",
        "ETCD_ADVERTISE_CLIENT_URLS": "https://etcd-a.internal:3994",
        "ETCD_LISTEN_PEER_URLS": "https://0.0.0.0:2380",
    }


@pytest.mark.parametrize(
    ("version", "name", "value"),
    [
        ("3.4.23", "ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK", "true"),
        ("3.5.30", "ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK", "true"),
        ("3.6.12", "ETCD_FEATURE_GATES", "InitialCorruptCheck=true,CompactHashCheck=true"),
        ("3.7.0", "ETCD_FEATURE_GATES", "InitialCorruptCheck=true,CompactHashCheck=true"),
        ("3.3.17", "ETCD_ENABLE_V2", "false"),
    ],
)
def test_the_hash_check_at_start_goes_by_the_name_of_the_version(version: str, name: str, value: str) -> None:
    assert environment(settings(version=version))[name] == value


def test_restored_data_is_not_compared_with_peers_that_start_too() -> None:
    restored = replace(settings(), state=replace(settings().state, restored=True))
    assert "ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK" not in environment(restored)


def test_feature_gates_of_the_operator_are_kept() -> None:
    assert environment(settings(version="3.6.12"), ETCD_FEATURE_GATES="X=true")["ETCD_FEATURE_GATES"] == (
        "InitialCorruptCheck=true,CompactHashCheck=true,X=true"
    )
    assert environment(settings(version="3.6.12"), ETCD_FEATURE_GATES="InitialCorruptCheck=false")["ETCD_FEATURE_GATES"].endswith(
        "InitialCorruptCheck=false"
    )


def test_a_restart_is_for_what_others_see_not_for_tuning() -> None:
    base = settings_digest(settings())
    assert settings_digest(replace(settings(), version=Version.parse("3.5.30"))) == base
    assert settings_digest(settings(new=True)) == base
    assert settings_digest(settings(quarantined=True)) != base
    assert settings_digest(settings(version="3.5.17")) != base
    assert settings_digest(replace(settings(), client_tls=None)) != base


def test_every_peer_url_carries_its_name() -> None:
    two = replace(NODE, peer_urls=("https://x:1", "https://y:2"))
    assert initial_cluster((two,)) == "etcd-a=https://x:1,etcd-a=https://y:2"


def test_a_url_without_a_port_is_refused() -> None:
    with pytest.raises(SpecError):
        etcd_command(replace(settings(), node=replace(NODE, peer_urls=("https://etcd-a",))), {})
