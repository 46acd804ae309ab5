"""The node's specification, and the material that it refers to."""

from __future__ import annotations

import pytest

from agents.errors import NotFoundError, SpecError
from agents.pki.keyset import Keyset, KeysetItem
from agents.secret import Secret
from nodeup.spec.boot import BootConfig, decode_boot_config
from nodeup.spec.node import NodeSpec, decode_node_spec

CONFIG: dict[str, object] = {
    "KubernetesVersion": "https://storage.example.com/release/v1.34.2/",
    "ClusterName": "c.example.com",
    "CAs": {"etcd-clients-ca": "ETCD PEM\n"},
    "KeypairIDs": {"kubernetes-ca": "12", "service-account": "3"},
    "etcdManifests": ["s3://b/c/manifests/etcd/main.yaml"],
    "staticManifests": [{"key": "kube-apiserver-healthcheck", "path": "manifests/static/h.yaml"}],
}


def boot(**changes: object) -> BootConfig:
    document = {"CloudProvider": "metal", "ConfigBase": "s3://b/c/", "InstanceGroupRole": "ControlPlane"} | changes
    return decode_boot_config(document, where="kube_env.yaml")


def spec(**changes: object) -> NodeSpec:
    return decode_node_spec(CONFIG | changes, boot(), where="nodeupconfig.yaml")


def test_a_kubernetes_version_may_be_the_url_of_a_release() -> None:
    assert str(spec().kubernetes_version) == "1.34.2"


def test_manifests_are_named_by_full_urls() -> None:
    assert spec(channelsManifest="s3://b/c/ch.yaml").manifest_urls == (
        "s3://b/c/manifests/etcd/main.yaml",
        "s3://b/c/ch.yaml",
        "s3://b/c/manifests/static/h.yaml",
    )


def test_a_node_that_asks_kops_controller_trusts_the_ca_of_its_boot_configuration() -> None:
    server = {"servers": ["https://x:3988/"], "CACertificates": "CA PEM\n"}
    decoded = decode_node_spec(CONFIG, boot(ConfigServer=server), where="nodeupconfig.yaml")
    assert decoded.ca_bundle("kubernetes-ca") == b"CA PEM\n"


def test_the_pinned_key_signs_and_not_the_primary_one() -> None:
    keyset = Keyset(
        name="kubernetes-ca",
        primary_id="13",
        items=(
            KeysetItem(id="12", certificate_pem=b"old", key=Secret("old key")),
            KeysetItem(id="13", certificate_pem=b"new", key=Secret("new key")),
        ),
    )
    full = spec().with_material(keysets={"kubernetes-ca": keyset}, secrets={}, manifests={})
    assert full.private_key("kubernetes-ca") == Secret("old key")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(SpecError, match="no CAs entry for kubernetes-ca"):
        spec().ca_bundle("kubernetes-ca")
    with pytest.raises(SpecError, match="no KeypairIDs entry for etcd-clients-ca"):
        spec().keypair_id("etcd-clients-ca")
    with pytest.raises(NotFoundError, match="keyset service-account is not in the state store"):
        spec().private_key("service-account")
    with pytest.raises(NotFoundError, match=r"s3://b/c/manifests/etcd/main\.yaml"):
        spec().manifest("s3://b/c/manifests/etcd/main.yaml")


def test_all_problems_of_a_configuration_are_said_at_once() -> None:
    with pytest.raises(SpecError, match=r"nodeupconfig.yaml: .*KubeletConfig.maxPods.*; .*Hooks\[0\]"):
        spec(KubeletConfig={"maxPods": "x"}, Hooks=["y"])


def test_unknown_fields_survive_and_are_reported() -> None:
    decoded = spec(Frobnicate={"a": 1})
    assert decoded.unknown_fields == ("Frobnicate",)
    assert decoded.config.section("Frobnicate").number("a") == 1
