"""Taking over a node that kops' own nodeup converged: what is good stays, and a plan shows only real differences.

kops' nodeup keeps no state: its certificates are only where they are used. A node of its is stood in for by a tree of the kops profile.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from agents.pki.keyset import Keyset
from tests.fakes.kops_controller import KopsController
from tests.nodeup.bad_input.room import CLUSTER, WORKER, Room, open_room

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with open_room(tmp_path_factory.mktemp("takeover"), NOW) as room:
        yield room


@pytest.fixture
def room(rooms: Room) -> Room:
    rooms.reset()
    return rooms


def forget_us(room: Room) -> None:
    """Leave what kops' nodeup would have left: everything but our own state."""
    for path in ("var/lib/node-agents", "run"):
        shutil.rmtree(room.root / path, ignore_errors=True)


def certificates(room: Room) -> dict[str, str]:
    return {
        path: digest for path, digest in room.tree().items() if path.endswith((".crt", ".key", "kubeconfig")) and "node-agents" not in path
    }


def kops_control_plane(room: Room) -> None:
    done = room.run(room.argv("apply", "--profile", "kops"))
    assert done.returncode == 0, done.stderr[-1000:]
    forget_us(room)


def test_a_control_plane_of_kops_keeps_its_certificates(room: Room) -> None:
    kops_control_plane(room)
    before = certificates(room)
    assert len(before) > 20

    plan = room.run(room.argv("plan"))

    assert "issue it" not in plan.stdout
    kept = "keep what kops' own nodeup left"
    assert plan.stdout.count(kept) == 15
    differing = [line for line in plan.stdout.splitlines() if re.match(r"[+~-] ", line) and kept not in line]
    gone = [line.split()[2] for line in differing if line.startswith("- ")]
    manifests = "/etc/kubernetes/manifests"
    assert gone == [f"{manifests}/etcd-{etcd}-control-plane-main.manifest" for etcd in ("events", "main")] + [
        f"{manifests}/kops-channels.manifest"
    ]
    # our services in place of kops' pods, and what kops' own units do not do; nothing else is another
    ours = "node-agents|etcd-manager|protokube|manifests/|modules-load|containerd.service|logrotate.timer"
    assert [line for line in differing if not re.search(ours, line)] == []

    done = room.run(room.argv("apply"))
    assert done.returncode == 0, done.stderr[-1000:]
    after = certificates(room)
    assert {path: after.get(path) for path in before} == before
    assert room.run(room.argv("plan")).stdout.startswith("0 changes")


def test_the_kops_profile_finds_nothing_to_do_on_a_node_of_kops(room: Room) -> None:
    kops_control_plane(room)

    plan = room.run(room.argv("plan", "--profile", "kops"))

    assert {re.sub("certificate .*: ", "", line) for line in plan.stdout.splitlines() if re.match(r"[+~-] ", line)} == {
        "~ keep what kops' own nodeup left"
    }


def test_a_certificate_that_does_not_answer_the_request_is_not_kept(room: Room) -> None:
    kops_control_plane(room)
    key = room.root / "srv/kubernetes/kubelet-server.key"
    key.write_bytes((room.root / "srv/kubernetes/kube-scheduler/server.key").read_bytes())
    (room.root / "var/lib/kube-scheduler/kubeconfig").write_text("users: [{user: {client-certificate-data: '?'}}]")

    plan = room.run(room.argv("plan"))

    issued = [line for line in plan.stdout.splitlines() if re.match(r"\+ certificate", line)]
    assert [line.split()[2].rstrip(":") for line in issued] == ["kubelet-server", "kube-scheduler"], plan.stdout


@pytest.fixture
def controller(room: Room) -> Iterator[KopsController]:
    keyset = Keyset.parse((room.store / "pki/private/kubernetes-ca/keyset.yaml").read_bytes(), where="kubernetes-ca")
    found = KopsController(cluster_name=CLUSTER, now=lambda: datetime.now(UTC), ca=keyset.primary.keypair())
    found.node_config = room.config(WORKER).read_text()
    found.keypair_ids = {"kubernetes-ca": keyset.primary.id}
    found.inventory.machines["machine-a"] = room.add_machine_key()
    with found.serve() as url:
        room.edit_boot(WORKER, ConfigServer={"servers": [url], "CACertificates": found.ca_pem.decode()})
        yield found


def test_a_worker_of_kops_asks_for_its_configuration_only(room: Room, controller: KopsController) -> None:
    done = room.run(room.argv("apply", "--profile", "kops", group=WORKER))
    assert done.returncode == 0, done.stderr[-1000:]
    forget_us(room)
    before = certificates(room)
    controller.requests.clear()

    done = room.run(room.argv("apply", group=WORKER))

    assert done.returncode == 0, done.stderr[-1000:]
    assert [sorted(request) for request in controller.requests] == [["apiVersion", "includeNodeConfig"]]
    assert certificates(room) == before
    # and from now on they are kept as our own
    assert (room.root / "var/lib/node-agents/nodeup/bootstrap/kubelet.key").is_file()
    assert room.run(room.argv("verify", group=WORKER)).returncode == 0


def test_a_worker_without_a_good_kubeconfig_asks_for_certificates(room: Room, controller: KopsController) -> None:
    room.run(room.argv("apply", "--profile", "kops", group=WORKER))
    forget_us(room)
    (room.root / "var/lib/kubelet/kubeconfig").write_text("users: []")
    controller.requests.clear()

    done = room.run(room.argv("apply", group=WORKER))

    assert done.returncode == 0, done.stderr[-1000:]
    assert [sorted(request) for request in controller.requests][-1] == ["apiVersion", "certs", "keypairIDs"]
