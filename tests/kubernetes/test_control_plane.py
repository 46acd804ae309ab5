"""A real Kubernetes, 1.20.2 built from Debian's source, on a machine that nodeup alone has made: `make test-kubernetes`.

The machine knows its user data and nothing else. What runs on it are the real kubelet, API server, controller manager, scheduler,
kube-proxy, containerd, runc, CNI plugins and etcd; stand-ins are the pause image, go-runner, and the API server's health check.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.assets import HELLO, VERSION
from tests.kubernetes.control_plane import COMPONENTS, ControlPlane, memory, process, what_went_wrong
from tests.machines.harness.bed import Bed
from tests.machines.harness.machine import Machine
from tests.machines.harness.shell import HarnessError, eventually
from tests.machines.test_first_light import certificates, nodeup

pytestmark = [pytest.mark.machine, pytest.mark.slow, pytest.mark.timeout(1800)]

#: A service has an address that only kube-proxy gives a meaning to.
SERVICE_ADDRESS = "100.64.7.7"
APP = {"app": "hello"}
WORKLOAD = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {  # what kops' addon kubelet-api.rbac grants: the API server may ask kubelets for logs
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "kops:system:kubelet-api-admin"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:kubelet-api-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "kubelet-api"}],
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "hello"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": APP},
                "template": {
                    "metadata": {"labels": APP},
                    "spec": {
                        "containers": [
                            {
                                "name": "hello",
                                "image": HELLO,
                                "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
                                "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "50Mi"}},
                            }
                        ]
                    },
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "hello"},
            "spec": {"clusterIP": SERVICE_ADDRESS, "selector": APP, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    ],
}


@pytest.fixture(scope="module")
def cluster(executable: Path) -> Iterator[ControlPlane]:
    """Return the machine, from power-on to pods that answer. Each test leaves it as it found it: running."""
    with Bed("kubernetes") as bed:
        control_plane = ControlPlane(bed, executable)
        try:
            come_up(control_plane)
            yield control_plane
        except HarnessError:
            print(what_went_wrong(control_plane.machine))
            raise


def come_up(cluster: ControlPlane) -> None:
    cluster.boot()
    cluster.machine.wait_for_boot(240)
    cluster.say("cloud-init is done")
    cluster.wait_for_nodeup(240)
    cluster.say("nodeup has made the machine")
    for etcd in ("main", "events"):
        cluster.wait_for_etcd(etcd)
    cluster.say("both etcds are healthy")
    cluster.wait_for_api()
    cluster.wait_for_node()
    cluster.machine.run(f"cat > /root/hello.json <<'EOF'\n{json.dumps(WORKLOAD)}\nEOF\nkubectl apply -f /root/hello.json")
    cluster.wait_for_deployment("hello", 2)
    cluster.answer(SERVICE_ADDRESS)
    cluster.say("the pods answer at their service's address")


def test_nodeup_alone_makes_a_machine_that_is_a_kubernetes_which_runs_pods(cluster: ControlPlane) -> None:
    machine = cluster.machine

    assert json.loads(cluster.kubectl("version -o json"))["serverVersion"]["gitVersion"] == f"v{VERSION}"
    assert cluster.answer(SERVICE_ADDRESS).startswith("hello from hello-")
    assert "listens" in cluster.kubectl("logs deployment/hello"), "the API server and the kubelet trust each other's certificates"
    assert all(process(machine, component) for component in COMPONENTS)
    print(cluster.kubectl("get nodes,pods --all-namespaces -o wide"), memory(machine), sep="\n")

    nodeup(machine, "verify")
    assert "0 changes" in nodeup(machine, "apply")


def test_everything_is_back_after_a_reboot(cluster: ControlPlane) -> None:
    machine = cluster.machine
    issued = issued_certificates(machine)

    machine.reboot()
    cluster.start_clock()
    machine.wait_for_boot(240)
    cluster.wait_for_nodeup(240)
    cluster.say("nodeup has looked at the machine")
    cluster.wait_for_api()
    cluster.wait_for_node()

    assert cluster.answer(SERVICE_ADDRESS, within=120).startswith("hello from hello-")
    cluster.say("the pods answer again")
    assert issued_certificates(machine) == issued, "no certificate is issued again without need"
    nodeup(machine, "verify")


def issued_certificates(machine: Machine) -> dict[str, str]:
    """Return the digests of nodeup's certificates: those inside of pods' volumes are Kubernetes' own."""
    return {path: digest for path, digest in certificates(machine).items() if not path.startswith("/var/lib/kubelet/pods/")}


def test_a_component_that_dies_is_started_again(cluster: ControlPlane) -> None:
    machine = cluster.machine
    died = process(machine, "kube-scheduler")

    machine.run(f"kill -9 {died}")

    eventually(lambda: process(machine, "kube-scheduler") not in {"", died}, within=90, what="another kube-scheduler", every=0.5)
    nodeup(machine, "verify")


def test_a_manifest_that_was_deleted_comes_back_with_its_pod(cluster: ControlPlane) -> None:
    machine = cluster.machine
    machine.run("rm /etc/kubernetes/manifests/kube-scheduler.manifest")
    eventually(lambda: not process(machine, "kube-scheduler"), within=90, what="the end of kube-scheduler", every=0.5)

    nodeup(machine, "apply")

    eventually(lambda: process(machine, "kube-scheduler"), within=90, what="kube-scheduler", every=0.5)
    nodeup(machine, "verify")
