"""Changing the profile and going back, on real systemd: units go and come, and etcd's data is what it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines.harness.bed import Bed
from tests.machines.harness.machine import Machine
from tests.machines.test_first_light import UNITS, WITH_CREDENTIALS, Light, etcdctl, nodeup

pytestmark = pytest.mark.machine

POD = "/etc/kubernetes/manifests/etcd-main-control-plane-main.manifest"


@pytest.fixture
def light(executable: Path) -> Iterator[Light]:
    with Bed("back") as bed:
        yield Light(bed, executable)


def exit_code(machine: Machine, command: str) -> tuple[int, str]:
    done = machine.run(f"{WITH_CREDENTIALS}/opt/kops/bin/nodeup {command} 2>&1", check=False, timeout=120)
    return done.returncode, done.stdout


def active(machine: Machine) -> list[str]:
    return machine.run(f"systemctl is-active {' '.join(UNITS)}", check=False).stdout.split()


def test_a_change_of_profile_is_complete_and_can_be_taken_back(light: Light) -> None:
    machine = light.machine
    light.boot()
    light.wait_until_it_runs()
    etcdctl(machine, "main", "put /kept yes")
    assert "kubelet.service" in machine.run("ls /var/lib/node-agents/nodeup/units").stdout

    nodeup(machine, "apply --profile kops")

    assert active(machine) == ["inactive"] * 3
    assert machine.run("systemctl is-enabled protokube.service", check=False).stdout.strip() in {"not-found", ""}
    assert machine.run("systemctl list-units --failed --no-legend").stdout.strip() == ""
    assert machine.run(f"test -s {POD} && ! test -e /etc/node-agents/protokube.yaml", check=False).returncode == 0
    assert nodeup(machine, "plan --profile kops").splitlines()[-1].startswith("0 changes, 0 restarts")

    code, shown = exit_code(machine, "rollback")
    assert code == 2, shown
    assert "+ unit protokube.service" in shown
    assert exit_code(machine, "rollback --yes --hold")[0] == 0

    for unit in UNITS:
        machine.wait_active(unit, 90)
    light.wait_for_etcd("main")
    assert etcdctl(machine, "main", "get /kept --print-value-only")[1].strip() == "yes"
    assert machine.run(f"test -e {POD}", check=False).returncode == 1
    code, said = exit_code(machine, "apply --conf /opt/kops/conf/kube_env.yaml")
    assert code == 4, said
    assert "/etc/node-agents/nodeup-hold" in said

    nodeup(machine, "apply --lift-hold")
    nodeup(machine, "verify")
