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
