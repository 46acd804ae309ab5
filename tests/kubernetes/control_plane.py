"""A machine that is a whole Kubernetes cluster, and its surroundings."""

from __future__ import annotations

import json
import time
from pathlib import Path

from examples.state_store.cluster import KOPS_VERSION
from tests.kubernetes.assets import make_assets
from tests.machines.harness.bed import Bed
from tests.machines.harness.machine import Machine
from tests.machines.harness.network import GATEWAY
from tests.machines.harness.shell import eventually
from tests.machines.harness.site import BUCKET, CLUSTER, WEB_PORT, Site
from tests.machines.test_first_light import Light
from tests.support.etcd_binaries import etcd_binaries

HEALTHCHECK = f"registry.k8s.io/kops/kube-apiserver-healthcheck:{KOPS_VERSION}"
ADDRESS = "10.222.0.11"
#: In the order in which they come up.
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")


class KubernetesSite(Site):
    """A state store that names Kubernetes 1.20.2, and its real assets."""

    def _write_state_store(self, etcd: Path) -> None:
        assets = self._web / "assets"
        assets.mkdir()
        archives = make_assets(assets, etcd, HEALTHCHECK)
        self._python(
            "-m", "tests.kubernetes.write_state_store", f"s3://{BUCKET}/{CLUSTER}", ADDRESS, etcd.name,
            assets, f"http://{GATEWAY}:{WEB_PORT}/assets", self._bed.directory / "boot", *archives,
        )  # fmt: skip


class ControlPlane(Light):
    """The machine, its disks and its surroundings."""

    def __init__(self, bed: Bed, executable: Path) -> None:
        self.site = KubernetesSite(bed, executable, etcd_binaries("3.5.16"))
        self.machine = bed.machine("cp-a")
        self._volumes = {"vdb": bed.volume("etcd-main"), "vdc": bed.volume("etcd-events")}
        self._began = time.monotonic()

    def boot(self) -> None:
        self.start_clock()
        self.machine.boot(user_data=self.site.user_data(), volumes=self._volumes)

    def start_clock(self) -> None:
        self._began = time.monotonic()

    def say(self, what: str) -> None:
        """Print what stands by now, with the time since power-on."""
        print(f"[{time.monotonic() - self._began:6.1f} s] {what}", flush=True)

    def kubectl(self, command: str, *, check: bool = True) -> str:
        """Run kubectl as root on the machine, with the administrator's kubeconfig that nodeup put into root's home."""
        return self.machine.run(f"kubectl {command}", check=check).stdout

    def get(self, what: str) -> dict[str, object]:
        """Return an object; {} where there is none, or no API."""
        text = self.kubectl(f"get {what} -o json", check=False)
        return json.loads(text) if text else {}

    def wait_for_api(self, within: float = 180) -> None:
        eventually(lambda: self.kubectl("get --raw /readyz", check=False) == "ok", within=within, what="the API server", every=0.5)
        self.say("the API server is ready")

    def wait_for_node(self, within: float = 120) -> None:
        """Return once the kubelet says that its node is ready, on this boot of the machine."""
        boot = self.machine.run("cat /proc/sys/kernel/random/boot_id").stdout.strip()

        def ready() -> bool:
            status = dig(self.get("node cp-a"), "status")
            conditions = dig(status, "conditions") or []
            is_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
            return is_ready and dig(status, "nodeInfo", "bootID") == boot

        eventually(ready, within=within, what="node cp-a to be Ready", every=0.5)
        self.say("the node is Ready")

    def wait_for_deployment(self, name: str, replicas: int, within: float = 120) -> None:
        eventually(
            lambda: dig(self.get(f"deployment {name}"), "status", "availableReplicas") == replicas,
            within=within, what=f"{replicas} pods of {name}", every=0.5,
        )  # fmt: skip
        self.say(f"{replicas} pods of {name} are available")

    def answer(self, address: str, within: float = 30) -> str:
        """Return what a web server says to the machine."""
        return eventually(
            lambda: self.machine.run(f"curl --silent --fail --max-time 2 http://{address}/", check=False).stdout,
            within=within, what=f"an answer from {address}", every=0.5,
        )  # fmt: skip


def dig(document: object, *keys: str) -> object:
    """Return what lies at a path in a document; None where it ends before."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def process(machine: Machine, program: str) -> str:
    """Return the id of the first process of a container's program; "" where none runs."""
    return machine.run(f"pgrep -xo -f '/usr/local/bin/{program}( .*)?'", check=False).stdout.strip()


def memory(machine: Machine) -> str:
    """Return what the machine's processes take, the largest first: proportional set sizes in MiB."""
    text = machine.run(
        "for d in /proc/[0-9]*; do awk -v n=\"$(cat $d/comm 2>/dev/null)\" '/^Pss:/ {print $2, n}' $d/smaps_rollup 2>/dev/null; done"
    ).stdout
    sums: dict[str, int] = {}
    for line in text.splitlines():
        size, _, name = line.partition(" ")
        sums[name] = sums.get(name, 0) + int(size)
    parts = ", ".join(f"{name} {size // 1024}" for name, size in sorted(sums.items(), key=lambda item: -item[1])[:12])
    return f"{sum(sums.values()) // 1024} MiB: {parts}"


def what_went_wrong(machine: Machine) -> str:
    """Return what to read first when the cluster does not come up."""
    commands = (
        "systemctl --failed --no-legend",
        "journalctl --unit kops-configuration --no-pager -n 40",
        "journalctl --unit kubelet --no-pager -n 40 | cut -c -300",
        "ctr --namespace k8s.io containers list",
        "tail -n 20 /var/log/kube-*.log | cut -c -300",
        "kubectl get pods --all-namespaces -o wide; kubectl get events --all-namespaces | tail -n 20; kubectl describe node | tail -n 40",
    )
    return "\n".join(f"--- {command}\n{machine.run(command + ' 2>&1', check=False).stdout}" for command in commands)
