from __future__ import annotations

import json

import pytest

from agents.errors import RefusedError
from nodeup.reset.acting import Outcome, remove_tree, reset
from nodeup.reset.looking import etcd_members, look
from nodeup.reset.steps import Remove, ResetView, RestoreRules, StopUnit, Unmount
from tests.fakes.host import FakeHost

MOUNTINFO = b"29 1 254:1 / / rw shared:1 - ext4 /dev/vda rw\n30 29 254:16 / /mnt/master-main rw - ext4 /dev/vdb rw\n"
UNITS = "kubelet.service loaded active running Kubelet\nssh.service loaded active running SSH\nprotokube.service loaded inactive dead x\n"


def machine() -> FakeHost:
    host = FakeHost(
        {
            "/proc/self/mountinfo": MOUNTINFO,
            "/mnt/master-main/.etcd-volume.json": b"{}",
            "/mnt/master-main/data/member/snap/db": b"etcd",
            "/run/node-agents/volumes/main.json": json.dumps({"mountPoint": "/mnt/master-main", "device": "/dev/vdb"}).encode(),
            "/etc/node-agents/protokube.yaml": b"volumes: [{backupStore: file:///srv/kubernetes/backups}, {find: {directory: /d/etcd*}}]\n",
            "/srv/kubernetes/ca.crt": b"ca",
            "/srv/kubernetes/backups/x": b"backup",
            "/var/lib/kubelet/kubeconfig": b"k",
            "/etc/kubernetes/manifests/a.manifest": b"m",
            "/etc/operator": b"mine",
        }
    )
    host.answer(("systemctl", "list-units"), stdout=UNITS)
    host.answer(("systemctl", "disable"), effect=lambda _: host.answer(("systemctl", "list-units"), stdout=""))
    host.answer(("systemctl", "daemon-reload"))
    host.answer(("iptables-save",), stdout="*nat\n:KUBE-X - [0:0]\nCOMMIT\n")
    host.answer(("iptables-restore",), effect=lambda _: host.answer(("iptables-save",), stdout="*nat\nCOMMIT\n"))
    return host


def run(host: FakeHost) -> tuple[Outcome, ...]:
    return reset(host, lambda: look(host), keep_images=False, tell=lambda _: None)


def test_a_machine_is_reset_and_etcd_and_its_backups_are_as_they_were() -> None:
    host = machine()

    outcomes = run(host)

    assert all(not outcome.error for outcome in outcomes)
    files = host.files()
    assert files["/mnt/master-main/data/member/snap/db"] == b"etcd"
    assert files["/srv/kubernetes/backups/x"] == b"backup"
    assert files["/etc/operator"] == b"mine"
    assert not {path for path in files if path.startswith(("/var/lib/kubelet", "/etc/kubernetes"))}
    kinds = [type(outcome.step) for outcome in outcomes]
    assert kinds[:2] == [StopUnit, RestoreRules]
    assert set(kinds[2:]) == {Remove}
    assert host.inputs["iptables-restore",] == b"*nat\nCOMMIT\n"
    assert run(host) == ()


def test_where_etcds_data_is_stays_protected_when_what_said_so_is_gone() -> None:
    host = machine()
    views = [
        ResetView(existing=("/etc/kubernetes", "/srv/kubernetes"), protected=("/srv/kubernetes/backups",)),
        ResetView(existing=("/srv/kubernetes",)),
    ]

    outcomes = reset(host, lambda: views.pop(0) if len(views) > 1 else views[0], keep_images=False, tell=lambda _: None)

    assert [outcome.step for outcome in outcomes] == [Remove("/etc/kubernetes")]
    assert "/srv/kubernetes/backups/x" in host.files()


def test_a_step_that_does_nothing_is_told_and_not_tried_again() -> None:
    host = machine()
    host.answer(("systemctl", "disable"))
    host.answer(("systemctl", "disable", "--now", "kubelet.service"), exit_code=1, stderr="no")

    outcomes = run(host)

    assert "exited with 1: no" in outcomes[0].error
    assert [outcome.step for outcome in outcomes].count(StopUnit("kubelet.service")) == 1


def test_a_tree_with_an_unknown_etcd_volume_or_another_file_system_in_it_is_not_begun() -> None:
    host = machine()
    host.write("/var/lib/kubelet/deep/down/.etcd-volume.json", b"{}")
    with pytest.raises(RefusedError, match="is an etcd volume"):
        remove_tree(host, "/var/lib/kubelet", (), ())
    host.write("/etc/kubernetes/other/x", b"")
    host.set_device("/etc/kubernetes/other", (254, 99))
    with pytest.raises(RefusedError, match="another file system"):
        remove_tree(host, "/etc/kubernetes", (), ())

    assert {"/var/lib/kubelet/kubeconfig", "/etc/kubernetes/manifests/a.manifest"} <= set(host.files())


def test_nothing_is_removed_through_a_bind_mount_that_could_not_be_unmounted() -> None:
    host = machine()
    subpath = "/var/lib/kubelet/pods/p/volume-subpaths/data"
    host.write("/proc/self/mountinfo", MOUNTINFO + f"31 29 254:1 /data {subpath} rw - ext4 /dev/vda rw\n".encode())
    host.write(f"{subpath}/precious", b"of an operator")
    host.answer(("umount", subpath), exit_code=32, stderr="target is busy")

    outcomes = run(host)

    errors = {outcome.step: outcome.error for outcome in outcomes}
    assert "target is busy" in errors[Unmount(subpath)]
    assert f"{subpath} is mounted below /var/lib/kubelet" in errors[Remove("/var/lib/kubelet")]
    assert host.files()[f"{subpath}/precious"] == b"of an operator"


def test_a_disk_that_an_operator_mounted_for_images_stays_mounted_and_is_emptied() -> None:
    host = machine()
    host.write("/proc/self/mountinfo", MOUNTINFO + b"31 29 254:32 / /var/lib/containerd rw - xfs /dev/vdc rw\n")
    host.write("/var/lib/containerd/io.containerd.content/blob", b"image")

    outcomes = run(host)

    assert all(not outcome.error for outcome in outcomes)
    assert Unmount("/var/lib/containerd") not in [outcome.step for outcome in outcomes]
    assert not [path for path in host.files() if path.startswith("/var/lib/containerd/")]
    assert host.stat("/var/lib/containerd") is not None
    assert run(host) == ()


def test_what_the_next_boot_would_start_is_disabled_though_it_does_not_run() -> None:
    host = machine()
    enabled = "kops-configuration.service enabled enabled\nssh.service enabled enabled\netcd-manager@.service enabled enabled\n"
    host.answer(("systemctl", "list-unit-files"), stdout=enabled)
    host.answer(
        ("systemctl", "disable", "--now", "kops-configuration.service"), effect=lambda _: host.answer(("systemctl", "list-unit-files"))
    )

    steps = [outcome.step for outcome in run(host)]

    assert steps[0] == StopUnit("kops-configuration.service")
    assert {step.unit for step in steps if isinstance(step, StopUnit)} == {"kops-configuration.service", "kubelet.service"}


def test_the_key_by_which_the_machine_was_enrolled_stays_and_nothing_else_beside_it() -> None:
    host = machine()
    key = "/etc/kubernetes/kops/pki/machine/private.pem"
    host.write(key, b"key")
    host.write("/etc/kubernetes/kops/pki/other", b"")
    host.write("/etc/kubernetes/kops/x", b"")

    outcomes = run(host)

    assert all(not outcome.error for outcome in outcomes)
    assert [path for path in host.files() if path.startswith("/etc/kubernetes")] == [key]
    assert run(host) == ()


def test_an_etcd_member_is_seen() -> None:
    assert etcd_members(machine()) == ("main",)
    assert etcd_members(FakeHost()) == ()
