"""The file that cloud controllers mount."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodeup.planners.cloud_config import plan_cloud_config
from nodeup.resources.content import SecretLiteral
from nodeup.resources.file import File
from tests.fakes.plan_context import plan_context, text_of
from tests.nodeup.planners.control_plane import control_plane

PATH = "/etc/kubernetes/cloud.config"


def test_choices_of_aws_are_lines_in_a_fixed_order() -> None:
    config = {"nodeIPFamilies": ["ipv6", "ipv4"], "disableSecurityGroupIngress": False, "elbSecurityGroup": "sg-1"}
    lines = text_of(plan_cloud_config(control_plane(cloud="aws", config=config)), PATH).splitlines()
    assert lines == [
        "[global]",
        "DisableSecurityGroupIngress = false",
        "ElbSecurityGroup = sg-1",
        "NodeIPFamilies = ipv6",
        "NodeIPFamilies = ipv4",
    ]


@pytest.mark.parametrize("cloud", ["aws", "gce", "metal"])
def test_without_choices_only_the_section_is_there(cloud: str) -> None:
    assert text_of(plan_cloud_config(control_plane(cloud=cloud)), PATH) == "[global]\n\n"


def test_azure_and_workers_have_none() -> None:
    assert list(plan_cloud_config(control_plane(cloud="azure"))) == []
    assert list(plan_cloud_config(plan_context(kubelet={"cloudProvider": "external"}))) == []


def test_credentials_of_openstack_are_readable_for_root_alone() -> None:
    openstack = {"loadbalancer": {"method": "ROUND_ROBIN", "useOctavia": True}, "network": {"publicNetworkNames": ["net"]}}
    context = control_plane(cloud="openstack", config={"Openstack": openstack})
    environment = {"OS_PASSWORD": "hush", "OS_PROJECT_ID": "tenant"}
    (file,) = plan_cloud_config(replace(context, facts=replace(context.facts, environment=environment)))
    assert isinstance(file, File)
    assert file.mode == 0o600
    assert isinstance(file.content, SecretLiteral)
    lines = file.content.content.reveal().decode().splitlines()
    assert {'password="hush"', 'tenant-id="tenant"', 'auth-url=""', "lb-method=ROUND_ROBIN", "use-octavia=true"} <= set(lines)
    assert lines[-3:] == ["[Networking]", "public-network-name=net", ""]


def _openstack(openstack: dict[str, object], environment: dict[str, str]) -> list[str]:
    context = control_plane(cloud="openstack", config={"Openstack": openstack})
    (file,) = plan_cloud_config(replace(context, facts=replace(context.facts, environment=environment)))
    assert isinstance(file, File)
    assert isinstance(file.content, SecretLiteral)
    return file.content.content.reveal().decode().splitlines()


def test_openstack_without_choices_has_its_credentials_alone() -> None:
    lines = _openstack({}, {"OS_TENANT_ID": "old", "OS_PROJECT_ID": "new", "OS_APPLICATION_CREDENTIAL_ID": "id"})
    assert lines[0] == "[global]"
    assert len([line for line in lines if "=" in line]) == 10
    assert {'tenant-id="old"', 'application-credential-id="id"', 'username=""'} <= set(lines)


def test_openstacks_load_balancer_storage_and_network_have_sections_in_this_order() -> None:
    openstack = {
        "loadbalancer": {
            "floatingNetworkID": "f",
            "method": "m",
            "provider": "octavia",
            "useOctavia": True,
            "ingressHostnameSuffix": "x.io",
        },
        "monitor": {"delay": "1m", "timeout": "30s", "maxRetries": 3},
        "blockStorage": {"bs-version": "v3", "ignore-volume-az": True, "ignore-volume-microversion": True},
        "network": {"ipv6SupportDisabled": False, "internalNetworkNames": ["a", "b"], "addressSortOrder": "10.0.0.0/8"},
    }
    text = "\n".join(_openstack(openstack, {}))
    assert text.partition("[LoadBalancer]")[2].split() == [
        "floating-network-id=f", "lb-method=m", "lb-provider=octavia", "use-octavia=true", "manage-security-groups=false",
        "enable-ingress-hostname=false", "ingress-hostname-suffix=x.io",
        "create-monitor=yes", "monitor-delay=1m", "monitor-timeout=30s", "monitor-max-retries=3",
        "[BlockStorage]", "bs-version=v3", "ignore-volume-az=true", "ignore-volume-microversion=true",
        "[Networking]", "ipv6-support-disabled=false", "internal-network-name=a", "internal-network-name=b",
        "address-sort-order=10.0.0.0/8",
    ]  # fmt: skip


def test_a_network_of_openstack_without_choices_has_no_section() -> None:
    assert "[Networking]" not in _openstack({"network": {"availabilityZoneHints": ["a"]}}, {})
