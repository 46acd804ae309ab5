"""Taking a node off a machine, and making it one again, on real systemd, with what pods and network plugins leave behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeup.bootstrap.tokens import MACHINE_KEY
from tests.machines.harness.bed import Bed
from tests.machines.harness.worker_site import CLUSTER
from tests.machines.test_worker import CONF, NODEUP, UNITS, Worker

pytestmark = [pytest.mark.machine, pytest.mark.slow]

VOLUME = "/var/lib/kubelet/pods/1234/volumes/kubernetes.io~empty-dir/v"
SUBPATH = "/var/lib/kubelet/pods/1234/volume-subpaths/data/c/0"
#: What pods, a network plugin and an operator leave: mounts, an interface, and files of the operator's own.
LEFT_BEHIND = f"""\
mkdir -p {VOLUME} {SUBPATH} /data /etc/kubernetes/manifests
mount -t tmpfs tmpfs {VOLUME}
echo precious > /data/of-an-operator
mount --bind /data {SUBPATH}
ip link add cni0 type bridge
ip link add ours0 type bridge
echo mine > /etc/operator
"""


@pytest.fixture
def worker(executable: Path) -> Iterator[Worker]:
    with Bed("reset") as bed:
        yield Worker(bed, executable)


def test_a_worker_is_reset_stays_so_over_a_reboot_and_is_made_again_by_an_apply(worker: Worker) -> None:
    machine = worker.machine
    worker.boot()
    worker.wait_until_joined()
    machine.run(LEFT_BEHIND)

    refused = worker.nodeup("reset --yes --cluster another.example.com", code=4)
    plan = worker.nodeup("reset", code=2)
    done = worker.nodeup(f"reset --yes --cluster {CLUSTER} --json")

    assert f"--yes needs --cluster {CLUSTER}" in refused
    print(f"\n{plan}")
    steps = json.loads(done[done.index("{") :])["items"]
    assert [step for step in steps if step["error"]] == []
    for line in (f"unmount  {VOLUME}", f"unmount  {SUBPATH}", "delete   interface cni0", "remove   /var/lib/kubelet"):
        assert line in plan
        assert line in [step["step"] for step in steps]
    assert "nothing of a node is left on this machine" in worker.nodeup("reset")
    assert machine.run(f"systemctl is-active {' '.join(UNITS)}", check=False).stdout.split() == ["inactive"] * len(UNITS)
    assert machine.run("systemctl list-units --failed --no-legend").stdout.strip() == ""
    assert machine.run("ip -o link show | grep -o 'cni0\\|ours0' | sort -u").stdout.split() == ["ours0"]
    assert machine.run("cat /etc/operator /data/of-an-operator").stdout.split() == ["mine", "precious"]
    gone = "/var/lib/kubelet /srv/kubernetes /etc/kubernetes /var/lib/node-agents/nodeup"
    left = machine.run(f"find {gone} -mindepth 1 -type f 2>/dev/null", check=False).stdout
    assert left.split() == [MACHINE_KEY], "which nobody but `kops toolbox enroll` can make again"

    machine.reboot()
    machine.wait_for_boot()
    assert machine.run(f"systemctl is-active {' '.join(UNITS)} kops-configuration", check=False).stdout.split() == ["inactive"] * 3
    assert worker.statuses() == [200, 200], "nobody asked for anything since"

    worker.nodeup("apply")
    worker.nodeup("verify")
    for unit in UNITS:
        machine.wait_active(unit)
    assert worker.statuses() == [200] * 4
    assert "0 changes" in worker.nodeup("apply")
    assert machine.run(f"{NODEUP} status").stdout.startswith("worker-a  done")
    machine.run(f"{NODEUP} install {CONF}")
    assert machine.run("systemctl is-enabled kops-configuration.service").stdout.strip() == "enabled"
