"""A control plane of kops' own agents becomes one of ours, and back, on real systemd: etcd keeps its members, its volume and its keys.

The pod is a stand-in: a service with a root directory of its own in which the machine is /rootfs, as in kops' pod; in it a program
that is called and started as kops' etcd-manager is, with a real etcd that runs out of the volume and is started again when it ends.
The volume is mounted on the host where kops' etcd-manager mounts it. A stand-in for kubelet runs the pod while its manifest is there,
and ends it 20 s after that has vanished.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines.harness.bed import Bed
from tests.machines.harness.machine import Machine
from tests.machines.harness.shell import eventually
from tests.machines.test_first_light import Light, etcdctl, nodeup
from tests.support.former_owner import GO_FILES, PROGRAM

pytestmark = [pytest.mark.machine, pytest.mark.slow, pytest.mark.timeout(900)]

POD = "/etc/kubernetes/manifests/etcd-main-control-plane-main.manifest"
OURS, THEIRS = "/mnt/master-main", "/mnt/master-vol-0123456789abcdef0"

POD_UNIT = """\
[Service]
RootDirectory=/srv/pod
MountAPIVFS=yes
BindReadOnlyPaths=/usr /bin /lib /lib64 /opt
BindPaths=/:/rootfs
EnvironmentFile=/etc/stand-in-pod.env
ExecStart=/ko-app/etcd-manager --backup-store=s3://kops-state/first.example.com/backups/etcd/main --cluster-name=etcd \
  --containerized=true --volume-provider=aws
TimeoutStopSec=5
"""
KUBELET_UNIT = f"""\
[Service]
ExecStart=/bin/sh -c 'while :; do if test -e {POD}; then systemctl start stand-in-pod; \
elif systemctl -q is-active stand-in-pod; then sleep 20; systemctl stop stand-in-pod; fi; sleep 1; done'
"""


@pytest.fixture
def light(executable: Path) -> Iterator[Light]:
    with Bed("takeover") as bed:
        yield Light(bed, executable)


def write(machine: Machine, path: str, text: str, *, mode: str = "644") -> None:
    machine.run(f"mkdir -p {path.rpartition('/')[0]} && printf %s {shlex.quote(text)} > {path} && chmod {mode} {path}")


def ids(machine: Machine) -> tuple[int, int]:
    """Return the id of etcd's cluster, and that of the member that answers."""
    (status,) = json.loads(etcdctl(machine, "main", "endpoint status -w json")[1])
    return status["Status"]["header"]["cluster_id"], status["Status"]["header"]["member_id"]


def keys(machine: Machine) -> list[str]:
    return etcdctl(machine, "main", "get --prefix /kept --keys-only")[1].split()


def etcds_on_main(machine: Machine) -> list[str]:
    """Return the processes that have the database of etcd main open."""
    return machine.run(
        r"find /proc/[0-9]*/fd -lname '*/member/snap/db' -printf '%h %l\n' 2>/dev/null | grep -v events | sort -u"
    ).stdout.split("\n")[:-1]


def hand_over_to_the_pod(machine: Machine) -> None:
    """Go back to kops' agents as docs/nodeup.md says, then leave on the volume only what kops' would have, and start the stand-ins."""
    environment = machine.run(
        f"tr '\\0' '\\n' < /proc/$(sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p' {OURS}/etcd.run.json)/environ | grep ^ETCD_"
    ).stdout
    nodeup(machine, "apply --profile kops")
    assert machine.run("systemctl is-active etcd-manager@main", check=False).stdout.strip() == "inactive"
    machine.run("systemctl kill etcd-manager@main")
    eventually(lambda: etcds_on_main(machine) == [], within=20, what="the end of our etcd")
    machine.run(f"umount {OURS}")
    machine.run(f"mkdir -p {THEIRS} && mount -t ext4 /dev/vdb {THEIRS}")
    kept = " ".join(f"! -name {name}" for name in (*sorted(GO_FILES), "lost+found"))
    machine.run(f"find {THEIRS} -mindepth 1 -maxdepth 1 {kept} -exec rm -r {{}} +")
    write(machine, "/etc/stand-in-pod.env", environment.replace(OURS, f"/rootfs{THEIRS}") + "ETCD_PROGRAM=/opt/etcd-v3.5.16/etcd\n")
    write(machine, "/srv/pod/ko-app/etcd-manager", PROGRAM, mode="755")
    machine.run("mkdir -p /srv/pod/rootfs")
    write(machine, "/etc/systemd/system/stand-in-pod.service", POD_UNIT)
    write(machine, "/etc/systemd/system/stand-in-kubelet.service", KUBELET_UNIT)
    machine.run("systemctl daemon-reload && systemctl start stand-in-kubelet")
    machine.wait_active("stand-in-pod.service", 30)


def test_a_control_plane_of_kops_is_taken_over_and_given_back(light: Light) -> None:
    machine = light.machine
    light.boot()
    light.wait_until_it_runs()
    etcdctl(machine, "main", "put /kept/native yes")
    before = ids(machine)
    hand_over_to_the_pod(machine)
    light.wait_for_etcd("main")
    etcdctl(machine, "main", "put /kept/kops yes")
    assert ids(machine) == before

    nodeup(machine, "apply")

    assert machine.run(f"test -e {POD}", check=False).returncode == 1
    eventually(
        lambda: "the former owner is gone" in machine.run("journalctl -u etcd-manager@main --no-pager").stdout, within=60, what="its end"
    )
    said = machine.run("journalctl -u etcd-manager@main --no-pager").stdout
    print("\n" + "\n".join(line for line in said.splitlines() if "waiting for" in line or "former owner" in line))
    assert "waiting for waits-for-former-owner: " in said
    assert "/ko-app/etcd-manager" in said
    light.wait_for_etcd("main")
    assert machine.run("systemctl is-active stand-in-pod", check=False).stdout.strip() == "inactive"
    assert ids(machine) == before
    assert keys(machine) == ["/kept/kops", "/kept/native"]
    assert len(etcds_on_main(machine)) == 1
    assert machine.run("findmnt -rno TARGET /dev/vdb").stdout.split() == [THEIRS]
    assert json.loads(machine.run("cat /run/node-agents/volumes/main.json").stdout)["mountPoint"] == THEIRS
    nodeup(machine, "verify")
    assert "0 changes" in nodeup(machine, "apply")

    # after a reboot it is where we choose, and the same member
    machine.run("systemctl disable --now stand-in-kubelet", check=False)
    machine.reboot()
    light.wait_until_it_runs()
    assert machine.run("findmnt -rno TARGET /dev/vdb").stdout.split() == [OURS]
    assert (ids(machine), keys(machine)) == (before, ["/kept/kops", "/kept/native"])

    # and back, once more, by what docs/nodeup.md says
    hand_over_to_the_pod(machine)
    light.wait_for_etcd("main")
    assert (ids(machine), keys(machine)) == (before, ["/kept/kops", "/kept/native"])
