"""The kubelet on one machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents.documents import load_yaml
from agents.errors import SpecError
from nodeup.facts import InstanceType
from nodeup.planners.context import PlanContext
from nodeup.planners.kubelet import kubelet_section, plan_kubelet
from nodeup.resources.certificate import Certificate, Kubeconfig
from nodeup.resources.content import FromResource
from nodeup.resources.file import File
from nodeup.resources.unit import Unit
from tests.fakes.plan_context import by_id, plan_context, text_of

_VPC = {"Networking": {"nonMasqueradeCIDR": "172.20.0.0/16", "amazonVPC": {}}}
_M3_MEDIUM = InstanceType(has_gpu=False, interfaces=2, addresses_per_interface=6)


def _arguments(context: PlanContext) -> str:
    return text_of(plan_kubelet(context), "/etc/sysconfig/kubelet").splitlines()[0]


def test_the_environment_file_has_flags_then_the_configuration_file() -> None:
    assert text_of(plan_kubelet(plan_context(cloud="azure")), "/etc/sysconfig/kubelet") == (
        'DAEMON_ARGS="--kubeconfig=/var/lib/kubelet/kubeconfig --runtime-request-timeout=15m0s --config=/var/lib/kubelet/kubelet.conf"\n'
        'HOME="/root"\n'
    )


def test_a_network_with_secondary_addresses_says_which_is_the_nodes() -> None:
    assert " --node-ip=172.20.0.7 " in _arguments(plan_context(config=_VPC, instance_type=_M3_MEDIUM))
    assert " --node-ip=10.0.0.7 " in _arguments(plan_context(cloud="hetzner", private_ipv4="10.0.0.7"))


def test_in_other_clouds_the_primary_address_is_not_known() -> None:
    config = {"Networking": {"nonMasqueradeCIDR": "100.64.0.0/10", "cni": {"usesSecondaryIP": True}}}
    with pytest.raises(SpecError, match="openstack"):
        list(plan_kubelet(plan_context(cloud="openstack", config=config)))


def test_an_ipv6_only_node_takes_its_default_address() -> None:
    assert " --node-ip=:: " in _arguments(plan_context(config={"Networking": {"nonMasqueradeCIDR": "::/0"}}))


@pytest.mark.parametrize(
    ("interfaces", "addresses", "pods"), [(2, 6, 12), (4, 15, 58), (15, 50, 110)], ids=["m3.medium", "m5.xlarge", "largest"]
)
def test_pods_with_addresses_of_the_instance_are_as_many_as_it_has(interfaces: int, addresses: int, pods: int) -> None:
    known = InstanceType(has_gpu=False, interfaces=interfaces, addresses_per_interface=addresses)
    assert kubelet_section(plan_context(config=_VPC, instance_type=known)).number("maxPods") == pods


def test_the_operators_number_of_pods_stands() -> None:
    assert kubelet_section(plan_context(config=_VPC, kubelet={"maxPods": 5})).number("maxPods") == 5


def test_an_instance_type_that_nobody_knows_is_refused() -> None:
    with pytest.raises(SpecError, match=r"m3\.medium"):
        kubelet_section(plan_context(config=_VPC))


def test_a_kubelet_does_not_label_its_own_node() -> None:
    assert not kubelet_section(plan_context(kubelet={"nodeLabels": {"a": "b"}})).has("nodeLabels")


@pytest.mark.parametrize(
    ("distribution", "existing", "expected"),
    [
        ("ubuntu2404", (), "/run/systemd/resolve/resolv.conf"),
        ("debian12", (), ""),
        ("debian12", ("/run/systemd/resolve/resolv.conf",), "/run/systemd/resolve/resolv.conf"),
    ],
)
def test_pods_do_not_get_a_resolver_that_only_the_machine_can_reach(distribution: str, existing: tuple[str, ...], expected: str) -> None:
    assert kubelet_section(plan_context(distribution=distribution, existing_paths=existing)).text("resolvConf") == expected


def test_control_planes_since_1_35_wait_at_most_a_minute_for_a_crashed_pod() -> None:
    def longest(role: str, version: str) -> str:
        context = plan_context(role=role, config={"KubernetesVersion": version})
        return kubelet_section(context).text("crashLoopBackOffMaxContainerRestartPeriod")

    assert longest("ControlPlane", "1.35.0") == "1m0s"
    assert longest("ControlPlane", "1.34.9") == ""
    assert longest("Node", "1.35.0") == ""


def test_a_worker_asks_kops_controller_for_its_certificates_and_nothing_else_waits_for_them() -> None:
    planned = by_id(plan_kubelet(plan_context()))
    key = planned["file:/srv/kubernetes/kubelet-server.key"]
    assert key == File(
        path="/srv/kubernetes/kubelet-server.key",
        content=FromResource("bootstrap:client", "kubelet-server.key"),
        mode=0o400,
        before_services=("kubelet.service",),
    )
    assert not any(isinstance(resource, Certificate) for resource in planned.values())


def test_a_control_plane_node_issues_its_certificates_itself() -> None:
    planned = by_id(plan_kubelet(plan_context(role="ControlPlane")))
    serving, client = planned["certificate:kubelet-server"], planned["certificate:kubelet"]
    kubeconfig = planned["kubeconfig:kubelet"]
    assert isinstance(serving, Certificate)
    assert isinstance(client, Certificate)
    assert isinstance(kubeconfig, Kubeconfig)
    assert serving.alternate_names == ("i-0123", "ip-172-20-0-7.us-test-1.compute.internal", "172.20.0.7", "203.0.113.7")
    assert serving.common_name == "i-0123"
    assert (client.common_name, client.organization) == ("system:node:i-0123", ("system:nodes",))
    assert kubeconfig.server_url == "https://127.0.0.1"


def test_a_node_in_other_clouds_is_called_by_its_addresses_first() -> None:
    serving = by_id(plan_kubelet(plan_context(role="ControlPlane", cloud="azure")))["certificate:kubelet-server"]
    assert isinstance(serving, Certificate)
    assert serving.alternate_names == ("10.0.0.9", "Host-1")


def test_in_a_warm_pool_the_kubelet_is_installed_and_not_started() -> None:
    warming = plan_context(config={"warmPoolImages": ["i"]}, lifecycle_state="Warmed:Pending")
    unit = by_id(plan_kubelet(warming))["unit:kubelet.service"]
    assert isinstance(unit, Unit)
    assert (unit.enabled, unit.running) == (False, False)
    assert unit.definition is not None


def test_one_cgroup_for_everything_is_one_slice() -> None:
    context = plan_context(kubelet={"kubeletCgroups": "/kube", "runtimeCgroups": "/kube"})
    planned = by_id(plan_kubelet(context))
    assert [name for name in planned if name.endswith(".slice")] == ["unit:kube.slice"]
    unit = planned["unit:kubelet.service"]
    assert isinstance(unit, Unit)
    assert "Slice=kube.slice\n" in (unit.definition or "")


def test_whatever_the_kubelet_read_at_its_start_restarts_it() -> None:
    unit = by_id(plan_kubelet(plan_context()))["unit:kubelet.service"]
    assert isinstance(unit, Unit)
    assert set(unit.restart_on) == {
        "/var/lib/kubelet/kubelet.conf",
        "/var/lib/kubelet/kubeconfig",
        "/srv/kubernetes/kubelet-server.crt",
        "/srv/kubernetes/ca.crt",
        "/var/lib/kubelet/credential-provider.conf",
    }


def test_mirrors_in_amazons_registry_get_its_passwords_in_a_lasting_order() -> None:
    containerd = {"useECRCredentialsForMirrors": True, "registryMirrors": {"docker.io": ["https://m"], "a.io": ["https://m"]}}
    text = text_of(plan_kubelet(plan_context(config={"containerdConfig": containerd})), "/var/lib/kubelet/credential-provider.conf")
    document = load_yaml(text, where="test")
    assert isinstance(document, dict)
    assert document["providers"][0]["matchImages"][-2:] == ["a.io", "docker.io"]


@pytest.mark.parametrize("cloud", ["metal", "hetzner"])
def test_a_name_in_the_section_never_differs_from_that_of_the_certificates(cloud: str) -> None:
    context = plan_context(cloud=cloud, kubelet={"hostnameOverride": "another"}, private_ipv4="10.0.0.3")
    assert "--hostname-override" not in _arguments(context)
    assert context.node_name == "host-1"


def test_nodes_named_by_address_need_an_address_in_their_name() -> None:
    context = plan_context(config={"useIPBasedNodeNames": True})
    assert context.node_name == "ip-172-20-0-7.us-test-1.compute.internal"
    aws = context.aws
    assert aws is not None
    east = replace(context, facts=replace(context.facts, cloud=replace(aws, region="us-east-1")))
    assert east.node_name == "ip-172-20-0-7.ec2.internal"
    by_id_named = replace(aws, local_hostname="i-0123.us-test-1.compute.internal")
    with pytest.raises(SpecError, match="named by address"):
        _ = replace(context, facts=replace(context.facts, cloud=by_id_named)).node_name


def test_without_a_directory_for_static_pods_none_is_made() -> None:
    planned = by_id(plan_kubelet(plan_context(kubelet={"podManifestPath": None})))
    assert [name for name in planned if name.startswith("directory:")] == ["directory:/var/lib/kubelet", "directory:/etc/cni/net.d/"]
