"""kube-scheduler."""

from __future__ import annotations

from agents.documents import load_yaml
from nodeup.planners.context import PlanContext
from nodeup.planners.kube_scheduler import plan_kube_scheduler
from tests.fakes.plan_context import by_id, plan_context, text_of
from tests.nodeup.planners.control_plane import control_plane

CONFIG = "/var/lib/kube-scheduler/config.yaml"
MANIFEST = "/etc/kubernetes/manifests/kube-scheduler.manifest"


def _node(**scheduler: object) -> PlanContext:
    return control_plane(config={"ControlPlaneConfig": {"KubeScheduler": {"image": "scheduler", **scheduler}}})


def _container(**scheduler: object) -> dict[str, object]:
    pod = load_yaml(text_of(plan_kube_scheduler(_node(**scheduler)), MANIFEST), where=MANIFEST)
    assert isinstance(pod, dict)
    container = pod["spec"]["containers"][0]
    assert isinstance(container, dict)
    return container


def test_without_a_file_asset_the_configuration_is_made_of_burst_and_qps() -> None:
    assert load_yaml(text_of(plan_kube_scheduler(_node(burst=100, qps="500m")), CONFIG), where=CONFIG) == {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": "/var/lib/kube-scheduler/kubeconfig", "burst": 100, "qps": 0.5},
    }


def test_the_configuration_that_kops_writes_is_taken_as_it_is() -> None:
    context = control_plane(config={"FileAssets": [{"path": CONFIG, "content": "kind: KubeSchedulerConfiguration\n"}]})
    assert f"file:{CONFIG}" not in by_id(plan_kube_scheduler(context))


def test_the_limit_of_volumes_is_a_variable() -> None:
    assert _container(maxPersistentVolumes=40)["env"] == [{"name": "KUBE_MAX_PD_VOLS", "value": "40"}]
    assert "env" not in _container()


def test_flags_are_in_the_order_of_their_texts_and_elections_are_among_them() -> None:
    arguments = _container(leaderElection={"leaderElect": True, "leaderElectLeaseDuration": "90s"}, logLevel=2)["args"]
    assert isinstance(arguments, list)
    flags = arguments[3:]
    assert flags == sorted(flags)
    assert {"--leader-elect=true", "--leader-elect-lease-duration=1m30s", "--v=2", f"--config={CONFIG}"} <= set(flags)


def test_a_serving_certificate_of_the_operator_is_taken_in_place_of_ours() -> None:
    ours = by_id(plan_kube_scheduler(_node()))
    theirs = by_id(plan_kube_scheduler(_node(tlsCertFile="/etc/ssl/s.crt", tlsPrivateKeyFile="/etc/ssl/s.key")))
    assert "certificate:kube-scheduler-server" in ours
    assert "certificate:kube-scheduler-server" not in theirs


def test_it_runs_on_the_control_plane_alone() -> None:
    assert list(plan_kube_scheduler(plan_context())) == list(plan_kube_scheduler(control_plane(role="APIServer"))) == []
