"""`nodeup apply` of a worker, as a program, on the example state store, below a directory; kops-controller is a stand-in over TLS."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from agents.pki.keypair import generate_ec_key, public_key_pem
from agents.pki.keyset import Keyset
from nodeup.bootstrap.tokens import MACHINE_KEY
from tests.fakes.kops_controller import KopsController, Reply
from tests.fakes.node_tokens import Identity

ROOT = Path(__file__).resolve().parents[3]
CLUSTER = "demo.example.com"
KUBECONFIG = "var/lib/kubelet/kubeconfig"


@dataclass(slots=True, kw_only=True)
class Worker:
    """A directory that stands for a machine, and the cluster's kops-controller."""

    root: Path
    conf: Path
    controller: KopsController

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "nodeup.cli", *words, "--conf", str(self.conf), "--root", str(self.root)]

    def nodeup(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(self.argv(*words), cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == code, f"{' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def point_to(self, url: str) -> None:
        boot = yaml.safe_load(self.conf.read_text())
        boot["ConfigServer"]["servers"] = [url]
        self.conf.write_text(yaml.safe_dump(boot))

    def waiting(self) -> list[dict[str, str]]:
        """What the status file says is waited for, as soon as it says anything."""
        path = self.root / "run/node-agents/status/nodeup.json"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            found: list[dict[str, str]] = json.loads(path.read_text())["waiting"]
            if found:
                return found
        raise AssertionError("nothing is waited for")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("example")
    argv = [sys.executable, "examples/make_state_store.py", "--cluster", CLUSTER, "--store", f"file://{directory}/{CLUSTER}"]
    argv += ["--boot-config-dir", str(directory / "boot"), "--assets-dir", str(directory / "assets"), "--make-stand-ins"]
    subprocess.run([*argv, "--assets-base", "http://127.0.0.1:1"], cwd=ROOT, check=True, capture_output=True, timeout=120)
    return directory


@pytest.fixture
def worker(example: Path, tmp_path: Path) -> Iterator[Worker]:
    root = tmp_path / "machine"
    (root / "etc").mkdir(parents=True)
    (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    (root / "etc/hostname").write_text("worker-a\n")
    key = generate_ec_key()
    path = root / MACHINE_KEY.lstrip("/")
    path.parent.mkdir(parents=True)
    path.write_bytes(key.reveal())
    conf = tmp_path / "kube_env.yaml"
    conf.write_text((example / "boot/nodes-main/kube_env.yaml").read_text())
    store = example / CLUSTER
    keyset = Keyset.parse((store / "pki/private/kubernetes-ca/keyset.yaml").read_bytes(), where="kubernetes-ca")
    controller = KopsController(
        cluster_name=CLUSTER,
        now=lambda: datetime.now(UTC),
        node_config=(store / "igconfig/node/nodes-main/nodeupconfig.yaml").read_text(),
        ca=keyset.primary.keypair(),
    )
    controller.keypair_ids = {"kubernetes-ca": keyset.primary.id}
    controller.inventory.machines["worker-a"] = public_key_pem(key)
    controller.node_secrets["dockerconfig"] = b'{"auths":{"r.example.com":{}}}'
    found = Worker(root=root, conf=conf, controller=controller)
    with controller.serve() as url:
        found.point_to(url)
        yield found


def test_a_worker_joins_and_then_needs_nobody(worker: Worker) -> None:
    assert "\nsuccess\n" in worker.nodeup("apply")

    kubeconfig = yaml.safe_load((worker.root / KUBECONFIG).read_text())
    assert kubeconfig["clusters"][0]["cluster"]["server"] == f"https://api.internal.{CLUSTER}"
    assert kubeconfig["users"][0]["user"]["client-certificate-data"]
    assert "r.example.com" in (worker.root / "root/.docker/config.json").read_text()
    assert worker.controller.statuses == [200, 200]

    worker.point_to("https://127.0.0.1:1/")
    assert worker.nodeup("plan").startswith("0 changes, 0 restarts, 0 downloads.")
    assert worker.nodeup("verify")
    assert re.search(r"^0 changes, \d+ unchanged", worker.nodeup("apply"))


def test_what_was_lost_is_repaired_from_the_copy_while_the_control_plane_is_away(worker: Worker) -> None:
    worker.nodeup("apply")
    before = (worker.root / KUBECONFIG).read_text()
    (worker.root / KUBECONFIG).unlink()
    worker.point_to("https://127.0.0.1:1/")

    worker.nodeup("apply")

    assert (worker.root / KUBECONFIG).read_text() == before


def test_a_plan_says_what_will_be_asked_for_and_why(worker: Worker) -> None:
    worker.nodeup("apply")
    (worker.root / "var/lib/node-agents/nodeup/bootstrap/kubelet.crt").unlink()

    said = worker.nodeup("plan", code=2)

    assert "~ certificates kube-proxy, kubelet, kubelet-server: ask kops-controller, because kubelet: there is none" in said
    assert worker.controller.statuses == [200, 200]


def test_a_worker_whose_node_is_ready_says_so_and_exits_for_another_try(worker: Worker) -> None:
    worker.controller.ready.add("worker-a")

    said = worker.nodeup("apply", code=75)

    assert "answered 409: node worker-a is already registered" in said
    assert "kubectl delete node" in said


def test_another_configuration_than_user_data_names_is_refused(worker: Worker) -> None:
    worker.controller.node_config += "\n"

    said = worker.nodeup("apply", code=75)

    assert "nodeup config hash mismatch: kops-controller has" in said
    assert not (worker.root / KUBECONFIG).exists()


def test_the_status_says_what_is_waited_for_and_a_signal_ends_the_wait(worker: Worker) -> None:
    worker.controller.replies = [Reply(status=429, body=b"too many requests", headers={"Retry-After": "600"})] * 3
    process = subprocess.Popen(worker.argv("apply"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "answered 429" in line:
                break
        waiting = worker.waiting()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == 130, said
    assert waiting[0]["reason"] == "kops-controller (throttled)"
    assert "answered 429: too many requests" in waiting[0]["lastError"]


def test_a_worker_is_called_back_where_ids_prove_too_little(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hetzner: the id comes from a metadata service, and kops-controller dials the port that only root of this machine may hold."""
    from tests.support.http import Answer, http_server

    boot = yaml.safe_load(worker.conf.read_text())
    worker.conf.write_text(yaml.safe_dump({**boot, "CloudProvider": "hetzner"}))
    worker.controller.inventory.servers["x-hetzner-id", "4711"] = Identity(node_name="worker-a", callback_port=3987)
    answers = {
        "/hetzner/v1/metadata/instance-id": b"4711",
        "/hetzner/v1/metadata/private-networks": b"- {ip: 10.0.0.9, interface_num: 1}\n",
    }
    with http_server(
        lambda request: Answer(status=200 if request.path in answers else 404, body=answers.get(request.path, b""))
    ) as metadata:
        monkeypatch.setenv("NODE_AGENTS_METADATA_ENDPOINT", metadata.url)
        worker.nodeup("apply")

    assert worker.controller.statuses == [200, 200]
    assert (worker.root / KUBECONFIG).is_file()
    challenges = {json.dumps(request["challenge"]) for request in worker.controller.requests}
    assert len(challenges) == 2
