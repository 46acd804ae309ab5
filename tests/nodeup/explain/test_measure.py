"""Explanations are measured: each is held against a plan made with another value."""

from __future__ import annotations

from nodeup.explain.measure import Influence, by_line, influences, lines_of
from nodeup.explain.target import Target, field_target, flag_target, made_by, resource_target, text_of
from nodeup.explain.variations import Source, Variation, shown_value, variations
from nodeup.planners.context import PlanContext
from tests.fakes.plan_context import CNI, CONTAINERD, plan_context
from tests.nodeup.planners.control_plane import control_plane, etcd_pod

NAMES = ("kubelet", "kubectl", "runc.amd64", "nerdctl-2.0.0-linux-amd64.tar.gz", "crictl-v1.34.0-linux-amd64.tar.gz")
ASSETS = {"amd64": [f"{'0' * 64}@{url}" for url in (*(f"https://example.com/{name}" for name in NAMES), CNI, CONTAINERD)]}


def paths(target: Target, context: PlanContext) -> dict[str, Influence[str | None]]:
    found = influences(target.project(context), target.project, variations(context))
    return {one.path: one for one in found if not one.is_checked_only}


def test_a_field_of_kubelets_configuration_is_traced_to_the_specification() -> None:
    context = plan_context(kubelet={"maxPods": 58})
    target = field_target("kubelet.config.maxPods", made_by(context))

    assert target is not None
    assert target.project(context) == "58"
    assert set(paths(target, context)) == {"KubeletConfig.maxPods"}


def test_a_value_that_the_machine_decides_is_traced_to_the_fact() -> None:
    context = plan_context(cloud="aws")
    target = field_target("kubelet.config.providerID", made_by(context))

    assert target is not None
    assert target.project(context) == "aws:///us-test-1a/i-0123"
    assert set(paths(target, context)) == {"cloud.availability_zone", "cloud.instance_id"}


def test_our_own_default_has_no_source() -> None:
    context = plan_context()
    target = field_target("kubelet.config.kind", made_by(context))

    assert target is not None
    assert target.project(context) == "KubeletConfiguration"
    assert paths(target, context) == {}


def test_a_flag_is_traced_through_a_translation_of_names() -> None:
    context = control_plane(
        config={"Assets": ASSETS}, authentication={"oidc": {"issuerURL": "https://issuer.example.com", "clientID": "k"}}
    )
    target = flag_target("kube-apiserver", "--oidc-issuer-url", made_by(context))

    assert target.project(context) == "https://issuer.example.com"
    assert "APIServerConfig.Authentication.oidc.issuerURL" in paths(target, context)


def test_a_flag_is_not_taken_for_one_whose_name_begins_with_its_own() -> None:
    context = control_plane(config={"Assets": ASSETS}, server={"logLevel": 2, "verbosity": 9})
    target = flag_target("kube-apiserver", "v", made_by(context))

    assert target.project(context) == "2"
    assert "APIServerConfig.KubeAPIServer.logLevel" in paths(target, context)


def test_a_field_that_is_not_set_has_no_value_and_a_name_to_set_it_by() -> None:
    context = plan_context()
    target = field_target("kubelet.config.maxPods", made_by(context))

    assert target is not None
    assert target.project(context) is None
    assert target.settable == (("KubeletConfig", "maxPods"),)


def test_lines_of_a_file_are_traced_one_by_one() -> None:
    context = plan_context(cloud="metal", kubelet={"logLevel": 2, "kubeconfigPath": "/k"})
    target = resource_target("file:/etc/sysconfig/kubelet", made_by(context))
    text = target.project(context)
    assert text is not None

    beside = by_line(text, influences(text, target.project, variations(context)))
    marked = {lines_of(text)[index].strip(): {one.path for one in found} for index, found in beside.items()}

    assert marked["--v=2"] == {"KubeletConfig.logLevel"}
    assert "KubeletConfig.kubeconfigPath" in marked["--kubeconfig=/k"]
    assert "--runtime-request-timeout=15m0s" not in marked


def test_a_setting_of_etcd_is_traced_to_its_manifest() -> None:
    context = control_plane(
        config={"Assets": ASSETS}, manifests={"main": etcd_pod("main", "--cluster-name=etcd", "--backup-store=s3://b/main")}
    )
    target = resource_target("file:/etc/node-agents/etcd-manager-main.yaml", made_by(context))

    assert any("manifests/etcd/main.yaml: spec.containers[0].args" in path for path in paths(target, context))


def test_a_kubeconfig_is_traced_through_what_it_is_made_of() -> None:
    context = control_plane(config={"Assets": ASSETS})
    target = resource_target("file:/var/lib/kubelet/kubeconfig", made_by(context))

    assert target.resources == ("file:/var/lib/kubelet/kubeconfig", "kubeconfig:kubelet", "certificate:kubelet")
    assert "hostname" in paths(target, context)


def test_every_field_that_is_said_to_matter_does() -> None:
    context = plan_context(kubelet={"maxPods": 58, "clusterDomain": "c.local"})
    plan = made_by(context)
    target = resource_target("file:/var/lib/kubelet/kubelet.conf", plan)
    base = target.project(context)

    for one in paths(target, context).values():
        assert all(result != base for result in one.results)
    assert text_of(plan["file:/var/lib/kubelet/kubelet.conf"][1]) == base


def test_a_value_that_may_be_a_credential_is_not_shown() -> None:
    assert shown_value("egressProxy.httpProxy.host", "http://user:hunter2@proxy") == ""
    assert shown_value("spec.containers[0].env[0].value", "hunter2") == ""
    assert shown_value("KubeletConfig.maxPods", 58) == "58"


def test_an_input_all_of_whose_other_values_are_refused_is_only_checked() -> None:
    def refuse() -> PlanContext:
        raise ValueError("no such value")

    one = Variation(source=Source.FACT, path="x", value="", made=(refuse,))

    (found,) = influences("a", lambda _: "a", [one])
    assert found.is_checked_only
