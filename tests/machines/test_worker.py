"""A worker, from user data to a joined node, on real systemd; kops-controller is a stand-in that listens on the machine's network.

The machine has its user data and its machine key; kubelet and containerd are stand-ins that are served as assets.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines.harness.bed import Bed
from tests.machines.harness.machine import Machine
from tests.machines.harness.network import GATEWAY
from tests.machines.harness.shell import eventually
from tests.machines.harness.worker_site import CLUSTER, CONTROLLER, WorkerSite

pytestmark = pytest.mark.machine

PLACEHOLDER = "203.0.113.123"
NODEUP = "/opt/kops/bin/nodeup"
CONF = "--conf /opt/kops/conf/kube_env.yaml"
KEPT = "/var/lib/node-agents/nodeup/bootstrap"
UNITS = ("containerd.service", "kubelet.service")


class Worker:
    """The machine and its surroundings."""

    def __init__(self, bed: Bed, executable: Path) -> None:
        self.site = WorkerSite(bed, executable)
        self.machine = bed.machine("worker-a", 21)
        self.site.enrol(self.machine)

    def boot(self, address: str = GATEWAY) -> None:
        self.machine.boot(user_data=self.site.user_data(), hosts={CONTROLLER: address})

    def wait_until_joined(self, within: float = 180) -> None:
        """Return once nodeup's run of this boot is over and good; fail with its journal when it failed."""
        show = "systemctl show -p Result,ExecMainStartTimestampMonotonic,ExecMainExitTimestampMonotonic kops-configuration.service"

        def over() -> dict[str, str] | None:
            state = dict(line.split("=", 1) for line in self.machine.run(show).stdout.split())
            started, ended = (int(state[f"ExecMain{edge}TimestampMonotonic"]) for edge in ("Start", "Exit"))
            return state if started and ended >= started else None

        self.machine.wait_for_boot(within)
        state = eventually(over, within=within, what="nodeup's run", every=0.25)
        assert state["Result"] == "success", self.journal()
        for unit in UNITS:
            self.machine.wait_active(unit)

    def waits_for(self, text: str, within: float = 90) -> str:
        """Return what `nodeup status` says, once it says `text`."""

        def says() -> str | None:
            said = self.machine.run(f"{NODEUP} status", check=False).stdout
            return said if text in said else None

        return eventually(says, within=within, what=f"status {text!r}", every=0.5)

    def nodeup(self, verb: str, code: int = 0) -> str:
        done = self.machine.run(f"{NODEUP} {verb} {CONF} 2>&1", check=False, timeout=120)
        assert done.returncode == code, done.stdout
        return done.stdout

    def journal(self) -> str:
        return self.machine.run("journalctl -u kops-configuration.service -n 60 --no-pager", check=False).stdout

    def statuses(self) -> list[object]:
        return [request["status"] for request in self.site.requests()]


def digests(machine: Machine) -> dict[str, str]:
    """Return the digest of every key, certificate and kubeconfig, by path."""
    listing = machine.run(
        f"find {KEPT} /srv/kubernetes /var/lib/kubelet /var/lib/kube-proxy /etc/kubernetes -type f "
        r"\( -name '*.crt' -o -name '*.key' -o -name kubeconfig \) | sort | xargs sha256sum"
    ).stdout
    return {path: digest for digest, path in (line.split() for line in listing.splitlines())}


@pytest.fixture
def worker(executable: Path) -> Iterator[Worker]:
    with Bed("worker") as bed:
        yield Worker(bed, executable)


def test_a_worker_joins_from_user_data_and_then_needs_nobody(worker: Worker) -> None:
    machine = worker.machine
    began = time.monotonic()
    worker.boot()
    worker.wait_until_joined()
    print(f"\nfrom power-on to joined: {time.monotonic() - began:.1f} s")
    print(worker.machine.run(f"{NODEUP} status").stdout)

    assert worker.statuses() == [200, 200], "one request for the configuration, one for certificates"
    assert [request["asked"] for request in worker.site.requests()] == [["configuration"], ["kube-proxy", "kubelet", "kubelet-server"]]
    subject = machine.run(f"openssl x509 -noout -subject -in {KEPT}/kubelet.crt 2>/dev/null || true").stdout
    assert not subject or "system:node:worker-a" in subject
    kubeconfig = machine.run("cat /var/lib/kubelet/kubeconfig").stdout
    assert f"server: https://api.internal.{CLUSTER}" in kubeconfig
    machine.run("test -s /var/lib/kubelet/kubelet.conf && test -s /etc/containerd/config.toml && test -x /usr/local/bin/kubelet")
    assert f"{GATEWAY}" in machine.run(f"getent ahosts api.internal.{CLUSTER}").stdout

    assert "0 changes" in worker.nodeup("plan")
    assert "0 changes" in worker.nodeup("apply")
    worker.nodeup("verify")
    assert worker.statuses() == [200, 200], "nothing is asked again"

    before = digests(machine)
    assert len(before) >= 9
    worker.site.stop_controller()
    machine.reboot()
    began = time.monotonic()
    worker.wait_until_joined()
    print(f"from reboot to running, with the control plane away: {time.monotonic() - began:.1f} s")
    assert digests(machine) == before
    assert "0 changes" in worker.nodeup("apply")
    assert worker.statuses() == [200, 200]


def test_a_worker_that_is_early_says_what_it_waits_for_and_joins_when_it_is_there(worker: Worker) -> None:
    worker.site.change(answer={"status": 503, "body": "not yet", "headers": {"Retry-After": "1"}})
    worker.boot(address=PLACEHOLDER)
    worker.machine.wait_for_boot()

    said = worker.waits_for("placeholder")
    assert f"{CONTROLLER} has only the placeholder {PLACEHOLDER}" in said
    assert worker.statuses() == []

    worker.site.change(answer=None)
    worker.machine.run(f"sed 's/{PLACEHOLDER}/{GATEWAY}/' /etc/hosts > /etc/hosts.new && cat /etc/hosts.new > /etc/hosts")
    worker.wait_until_joined()
    assert worker.statuses() == [200, 200]


def test_a_configuration_that_user_data_does_not_name_waits_for_the_right_one(worker: Worker) -> None:
    config = worker.site.node_config()
    right = config.read_bytes()
    config.write_bytes(right + b"\n")
    worker.boot()
    worker.machine.wait_for_boot()

    said = worker.waits_for("hash mismatch")
    assert "user data expects" in said
    assert worker.machine.run("test -e /var/lib/kubelet/kubeconfig", check=False).returncode != 0

    config.write_bytes(right)
    worker.wait_until_joined()


def test_409_is_explained_and_repaired_when_the_node_is_gone(worker: Worker) -> None:
    machine = worker.machine
    worker.boot()
    worker.wait_until_joined()
    before = digests(machine)

    worker.site.change(ready=["worker-a"])
    machine.run("systemctl restart kops-configuration.service")
    assert worker.statuses() == [200, 200], "a joined node asks nothing, Ready or not"

    machine.run(f"rm {KEPT}/kubelet.crt /var/lib/kubelet/kubeconfig")
    machine.run("systemctl restart --no-block kops-configuration.service")
    said = worker.waits_for("409")
    assert "worker-a is already registered" in said
    assert "kubectl delete node" in said
    assert machine.run("systemctl is-active kubelet").stdout.strip() == "active"

    worker.site.change(ready=[])
    worker.wait_until_joined()
    after = digests(machine)
    assert after.keys() == before.keys()
    assert {path for path in after if path.endswith(".key") and after[path] != before[path]} == set(), "keys are kept"
    worker.nodeup("verify")


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_a_power_cut_while_joining_is_healed_by_the_next_boot(worker: Worker, seed: int) -> None:
    worker.boot()
    machine = worker.machine
    eventually(lambda: machine.read("/etc/sysconfig/kops-configuration") or machine.read("/etc/systemd/system/kops-configuration.service")
               or machine.read("/lib/systemd/system/kops-configuration.service"), within=90, what="nodeup's own unit")  # fmt: skip
    # the join on this machine takes about two seconds: the points fall before, in and after it
    time.sleep(random.Random(seed).uniform(0.0, 2.5))
    machine.power_cut()
    asked = len(worker.site.requests())
    kept = machine.read(f"{KEPT}/kubelet.key")

    machine.start()
    worker.wait_until_joined()

    worker.nodeup("verify")
    assert not kept or machine.read(f"{KEPT}/kubelet.key") == kept, "a key that was asked with is asked with again"
    assert len(worker.site.requests()) - asked <= 2
    print(f"\nseed {seed}: {asked} requests before the cut, {len(worker.site.requests()) - asked} after")
