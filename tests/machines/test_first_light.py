"""First light: one control-plane machine, from user data to a verified backup, on real systemd.

The machine knows its user data and nothing else. The state store is an S3 API on its network; kubelet and containerd are
stand-ins served as assets, etcd is real; the two disks are blank.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines.harness.bed import Bed
from tests.machines.harness.machine import Machine
from tests.machines.harness.shell import eventually
from tests.machines.harness.site import CLUSTER, Site
from tests.support.etcd_binaries import etcd_binaries

pytestmark = pytest.mark.machine

#: Which disk is whose: a fact of this machine that the cluster's specification does not hold on bare metal.
DISKS = """\
mkdir -p /etc/node-agents/protokube.d
cat > /etc/node-agents/protokube.d/disks.yaml <<'EOF'
apiVersion: node-agents/v1
kind: ProtokubeConfig
volumes:
- {etcdCluster: main, find: {path: /dev/disk/by-id/virtio-etcd-main}, allowFormat: true}
- {etcdCluster: events, find: {path: /dev/disk/by-id/virtio-etcd-events}, allowFormat: true}
EOF
"""

UNITS = ("protokube.service", "etcd-manager@main.service", "etcd-manager@events.service")


class Light:
    """The machine, its disks and its surroundings."""

    def __init__(self, bed: Bed, executable: Path) -> None:
        self.site = Site(bed, executable, etcd_binaries("3.5.16"))
        self.machine = bed.machine("cp-a")
        self._volumes = {"vdb": bed.volume("etcd-main"), "vdc": bed.volume("etcd-events")}

    def boot(self) -> None:
        self.machine.boot(user_data=self.site.user_data(before=DISKS), volumes=self._volumes)

    def wait_until_it_runs(self, within: float = 180) -> None:
        self.machine.wait_for_boot(within)
        self.wait_for_nodeup(within)
        for unit in UNITS:
            self.machine.wait_active(unit, within)
        for cluster in ("main", "events"):
            self.wait_for_etcd(cluster)

    def wait_for_nodeup(self, within: float) -> None:
        """Return once nodeup's run of this boot is over; fail with its journal when it failed."""
        show = "systemctl show -p Result,ExecMainStartTimestampMonotonic,ExecMainExitTimestampMonotonic kops-configuration.service"

        def over() -> dict[str, str] | None:
            state = dict(line.split("=", 1) for line in self.machine.run(show).stdout.split())
            started, ended = (int(state[f"ExecMain{edge}TimestampMonotonic"]) for edge in ("Start", "Exit"))
            return state if started and ended >= started else None

        state = eventually(over, within=within, what="nodeup's run", every=0.25)
        assert state["Result"] == "success", self.machine.run(
            "journalctl -u kops-configuration.service -n 60 --no-pager", check=False
        ).stdout

    def wait_for_etcd(self, cluster: str) -> None:
        eventually(
            lambda: etcdctl(self.machine, cluster, "endpoint health", check=False)[0] == 0, within=90, what=f"etcd {cluster}", every=0.5
        )


def etcdctl(machine: Machine, cluster: str, command: str, *, check: bool = True) -> tuple[int, str]:
    """Run etcdctl on the machine with the API server's own client certificate."""
    port = {"main": 4001, "events": 4002}[cluster]
    done = machine.run(
        f"ETCDCTL_API=3 /opt/etcd-v3.5.16/etcdctl --endpoints https://127.0.0.1:{port} --cacert /srv/kubernetes/kube-apiserver/etcd-ca.crt "
        f"--cert /srv/kubernetes/kube-apiserver/etcd-client.crt --key /srv/kubernetes/kube-apiserver/etcd-client.key {command}",
        check=check,
    )
    return done.returncode, done.stdout


def certificates(machine: Machine) -> dict[str, str]:
    """Return the digest of every certificate that nodeup issued, by path."""
    listing = machine.run(
        "find /srv/kubernetes /var/lib/kubelet /var/lib/kube-* /var/lib/kubectl /etc/kubernetes -type f "
        r"\( -name '*.crt' -o -name '*.key' -o -name kubeconfig \) | sort | xargs sha256sum"
    ).stdout
    return {path: digest for digest, path in (line.split() for line in listing.splitlines())}


def verified_backups(light: Light, cluster: str) -> list[str]:
    """Return the backups in the bucket that have both the data and the metadata written after it."""
    keys = set(light.site.list_objects(f"backups/etcd/{cluster}"))
    names = {key.split("/")[3] for key in keys if key.endswith("/_etcd_backup.meta")}
    return sorted(n for n in names if f"backups/etcd/{cluster}/{n}/etcd.backup.gz" in keys)


#: Commands of an operator on the machine, with the credentials that nodeup's unit has.
WITH_CREDENTIALS = "set -a; . /etc/sysconfig/kops-configuration; set +a; "


def nodeup(machine: Machine, verb: str) -> str:
    """Run a verb of nodeup on the machine; it must exit with 0."""
    command = f"/opt/kops/bin/nodeup {verb} --conf /opt/kops/conf/kube_env.yaml 2>&1"
    done = machine.run(WITH_CREDENTIALS + command, check=False, timeout=120)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def light(executable: Path) -> Iterator[Light]:
    with Bed("light") as bed:
        yield Light(bed, executable)


def test_a_control_plane_machine_comes_up_from_user_data_and_again_after_a_reboot(light: Light) -> None:
    machine = light.machine
    began = time.monotonic()
    light.boot()
    light.wait_until_it_runs()
    print(f"\nfrom power-on to both etcds healthy: {time.monotonic() - began:.1f} s")

    for device in ("/dev/vdb", "/dev/vdc"):
        filesystem, target = machine.run(f"findmnt -rn -o FSTYPE,TARGET {device}").stdout.split()[:2]
        assert filesystem == "ext4"
        assert json.loads(machine.run(f"cat {target}/.etcd-volume.json").stdout)["clusterName"] == CLUSTER

    machine.run("test -s /var/lib/kubelet/kubelet.conf && test -s /etc/containerd/config.toml && test -x /usr/local/bin/kubelet")
    assert machine.run("systemctl is-active containerd kubelet", check=False).stdout.split() == ["active", "active"]

    etcdctl(machine, "main", "put /first light")
    for cluster in ("main", "events"):
        eventually(lambda cluster=cluster: verified_backups(light, cluster), within=60, what=f"a backup of {cluster}", every=1)
    verified = machine.run(
        WITH_CREDENTIALS
        + f"/opt/kops/bin/etcd-manager verify-backup latest --backup-store s3://kops-state/{CLUSTER}/backups/etcd/main 2>&1",
        check=False,
    )
    assert verified.returncode == 0, verified.stdout

    nodeup(machine, "verify")
    assert "0 changes" in nodeup(machine, "apply")

    before = certificates(machine)
    assert len(before) > 20
    machine.reboot()
    light.wait_until_it_runs()
    assert certificates(machine) == before, "no certificate is issued again without need"
    assert etcdctl(machine, "main", "get /first --print-value-only")[1].strip() == "light"


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))])
def test_a_power_cut_during_the_first_apply_is_healed_by_the_next_boot(light: Light, seed: int) -> None:
    light.boot()
    machine = light.machine
    eventually(lambda: machine.read("/etc/sysconfig/kops-configuration"), within=90, what="nodeup's own unit")
    # an apply on this machine takes some seconds; the five points fall before, in and after its middle
    time.sleep(random.Random(seed).uniform(0.0, 8.0))
    machine.power_cut()

    machine.start()
    light.wait_until_it_runs()

    nodeup(machine, "verify")
