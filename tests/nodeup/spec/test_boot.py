"""The boot configuration."""

from __future__ import annotations

import pytest

from agents.errors import SpecError
from nodeup.spec.boot import CloudProvider, Role, decode_boot_config

WORKER = {
    "CloudProvider": "aws",
    "ClusterName": "c.example.com",
    "ConfigServer": {"CACertificates": "PEM", "servers": ["https://kops-controller.internal.c.example.com:3988/"]},
    "InstanceGroupName": "nodes",
    "InstanceGroupRole": "Node",
    "NodeupConfigHash": "aGFzaA==",
}


def test_a_worker_asks_kops_controller() -> None:
    boot = decode_boot_config(WORKER, where="kube_env.yaml")
    assert (boot.cloud, boot.role, boot.config_base) == (CloudProvider.AWS, Role.NODE, "")
    assert boot.config_server is not None
    assert boot.config_server.servers == ("https://kops-controller.internal.c.example.com:3988/",)
    assert boot.config_url == ""


@pytest.mark.parametrize(("role", "directory"), [("ControlPlane", "control-plane"), ("APIServer", "apiserver")])
def test_a_node_with_an_api_server_reads_the_state_store(role: str, directory: str) -> None:
    document = {"CloudProvider": "metal", "ConfigBase": "s3://b/c.example.com/", "InstanceGroupName": "ig", "InstanceGroupRole": role}
    boot = decode_boot_config(document, where="kube_env.yaml")
    assert boot.config_server is None
    assert boot.config_url == f"s3://b/c.example.com/igconfig/{directory}/ig/nodeupconfig.yaml"


def test_a_config_server_without_servers_is_none() -> None:
    assert decode_boot_config(WORKER | {"ConfigServer": {"servers": []}}, where="x").config_server is None


def test_unknown_fields_are_kept_in_mind() -> None:
    assert decode_boot_config(WORKER | {"ConfigBse": "s3://typo"}, where="x").unknown_fields == ("ConfigBse",)


@pytest.mark.parametrize("wrong", [{"CloudProvider": "alicloud"}, {"InstanceGroupRole": "Etcd"}, {"APIServerIPs": "10.0.0.1"}])
def test_what_no_node_can_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SpecError, match=r"kube_env\.yaml"):
        decode_boot_config(WORKER | wrong, where="kube_env.yaml")


def test_an_empty_document_is_refused() -> None:
    with pytest.raises(SpecError, match="found nothing"):
        decode_boot_config(None, where="kube_env.yaml")
