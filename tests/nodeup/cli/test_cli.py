"""nodeup as a program, on the example state store, below a directory that stands for the machine."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.node_directory import Node, tree


def test_a_plan_changes_nothing_and_says_so_with_its_exit_code(node: Node) -> None:
    before = tree(node.root)

    text = node.plan(code=2)

    assert tree(node.root) == before
    assert "+ file /etc/kubernetes/manifests/kube-apiserver.manifest" in text
    assert "+ certificate kubelet: issue it, because there is none yet" in text


def test_apply_makes_it_so_and_a_second_one_changes_nothing(applied: Node) -> None:
    made = tree(applied.root)

    assert applied.plan().splitlines()[0] == "0 changes, 0 restarts, 0 downloads."
    assert re.fullmatch(r"0 changes, \d+ unchanged in \d+\.\d s", applied.apply().stdout.splitlines()[0])
    assert {path: made[path] for path in made if not path.startswith("var/lib/node-agents")} == {
        path: found for path, found in tree(applied.root).items() if not path.startswith("var/lib/node-agents")
    }


def test_a_plan_as_json_is_one_document(node: Node) -> None:
    document = json.loads(node.plan("--json", code=2))

    assert document["kind"] == "NodePlan"
    kubeconfigs = sum(item["id"].startswith("kubeconfig:") for item in document["items"])
    assert document["summary"]["changes"] == len(document["items"]) - kubeconfigs


def test_no_key_is_ever_shown(applied: Node) -> None:
    keys = [path for path in applied.root.rglob("*.key") if path.is_file() and "node-agents" not in str(path)]
    for path in keys[::2]:
        path.write_text("-----BEGIN\nnot\nthe key of anybody\n")
    done = applied.apply("--json", "-v")
    shown = applied.plan("--json", "-v") + done.stdout + done.stderr

    assert keys
    for path in keys:
        lines = path.read_text().splitlines()
        assert lines[2] not in shown


def test_verify_finds_drift_and_apply_repairs_it(applied: Node) -> None:
    node = applied
    manifest = node.root / "etc/kubernetes/manifests/kube-scheduler.manifest"
    wanted = manifest.read_text()
    manifest.write_text(wanted.replace("kube-scheduler", "kube-intruder", 1))
    (node.root / "srv/kubernetes/kubelet-server.key").chmod(0o644)

    drift = node.verify(code=2)
    node.apply()

    assert "~ file /etc/kubernetes/manifests/kube-scheduler.manifest" in drift
    assert any(line.startswith("    -") and "kube-intruder" in line for line in drift.splitlines())
    assert "~ file /srv/kubernetes/kubelet-server.key  mode 0644 → 0400" in drift
    assert manifest.read_text() == wanted
    assert node.verify().startswith("0 changes")


def test_render_needs_no_machine_and_downloads_nothing(node: Node, tmp_path: Path) -> None:
    text = node.nodeup("render", "--conf", str(node.conf), "--out", str(tmp_path / "out")).stdout

    assert (tmp_path / "out/var/lib/kubelet/kubelet.conf").is_file()
    assert (tmp_path / "out/lib/systemd/system/kubelet.service").is_file()
    assert "not rendered:" in text
    assert "file:/usr/local/bin/kubelet" in text


def test_binaries_are_fetched_verified_and_installed_where_asked_for(node: Node, store: Path) -> None:
    cache_before = list((node.root / "var").rglob("sha256:*")) if (node.root / "var").exists() else []
    fail = node.apply("--with-assets", code=75).stderr

    assert cache_before == []
    assert "no mirror delivered" in fail
    assert (node.root / "etc/kubernetes/manifests/kube-scheduler.manifest").is_file(), "what needs no download is done all the same"


def test_another_apply_at_the_same_time_is_refused(node: Node) -> None:
    lock = node.root / "run/node-agents/nodeup.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        held.write("process 4711, since 2026-11-20T13:00:00Z\n")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)

        text = node.apply(code=7).stderr

    assert "process 4711, since 2026-11-20T13:00:00Z" in text


def test_status_tells_what_the_last_apply_did(node: Node, applied: Node) -> None:
    node.nodeup("status", "--root", str(node.root), code=5)
    node = applied

    text = node.nodeup("status", "--root", str(node.root)).stdout
    document = json.loads(node.nodeup("status", "--root", str(node.root), "--json").stdout)

    assert text.startswith("cp-a  done  attempt 1  took ")
    assert "■" in text
    assert document["details"]["timeline"]
    assert document["details"]["phases"][0]["phase"] == "load"


def test_explain_tells_who_asked_for_a_thing_and_what_it_waits_for(node: Node) -> None:
    argv = ["explain", "--conf", str(node.conf), "--root", str(node.root)]

    text = node.nodeup(*argv, "/var/lib/kubelet/kubeconfig").stdout
    node.nodeup(*argv, "no such thing", code=5)

    assert text.startswith("file:/var/lib/kubelet/kubeconfig  planned by KubeletBuilder")
    assert "waits for kubeconfig:kubelet, because it makes its bytes" in text


def test_kops_own_flags_work(node: Node, applied: Node) -> None:
    plan = node.nodeup(f"--conf={node.conf}", "--dryrun", "--v=8", "--root", str(node.root), code=2).stdout
    node = applied
    done = node.nodeup(f"-conf={node.conf}", "-retries=0", "--logtostderr", "--root", str(node.root)).stdout

    assert "changes, 0 restarts" in plan
    assert done.rstrip().endswith("success")


@pytest.mark.parametrize(
    ("edit", "code", "message"),
    [
        (lambda text: text.replace("CloudProvider: metal", "CloudProvider: moon"), 3, "CloudProvider is 'moon'"),
        (lambda text: text.replace("InstanceGroupName: control-plane-main", "InstanceGroupName: nowhere"), 5, "nowhere"),
        (lambda text: text.replace("NodeupConfigHash:", "NodeupConfigHash: AAAA #"), 75, "config hash mismatch"),
        (lambda _: "", 3, "wanted a mapping"),
    ],
    ids=["unknown cloud", "no such group", "wrong hash", "empty"],
)
def test_what_is_wrong_is_said_with_an_exit_code_for_scripts(
    node: Node, tmp_path: Path, edit: Callable[[str], str], code: int, message: str
) -> None:
    conf = tmp_path / "kube_env.yaml"
    conf.write_text(edit(node.conf.read_text()))

    text = node.nodeup("plan", "--conf", str(conf), "--root", str(node.root), code=code).stderr

    assert message in text


def test_a_worker_that_never_asked_kops_controller_is_told_to_apply_first(node: Node, store: Path) -> None:
    done = node.nodeup("plan", "--conf", str(store / "boot/nodes-main/kube_env.yaml"), "--root", str(node.root), code=3)

    assert "kops-controller" in done.stderr


def test_the_kops_profile_has_kops_pods_in_place_of_our_units(node: Node, applied: Node, tmp_path: Path) -> None:
    node.nodeup("render", "--conf", str(node.conf), "--out", str(tmp_path / "kops"), "--profile", "kops")

    def manifests(root: Path) -> set[str]:
        return {path.name for path in (root / "etc/kubernetes/manifests").iterdir()}

    assert {"kops-channels.manifest", "etcd-main-control-plane-main.manifest"} <= manifests(tmp_path / "kops")
    assert not {name for name in manifests(applied.root) if name.startswith(("etcd", "kops-channels"))}
    assert (applied.root / "etc/node-agents/protokube.yaml").is_file()


def test_explain_takes_a_flag_of_a_component_for_what_it_is_and_options_on_either_side(node: Node) -> None:
    text = node.nodeup("explain", "--conf", str(node.conf), "kube-apiserver", "--service-cluster-ip-range", "--root", str(node.root)).stdout
    absent = node.nodeup("explain", "kubelet.config.maxPods", "--json", "--conf", str(node.conf), "--root", str(node.root)).stdout
    node.nodeup("explain", "--conf", str(node.conf), "--root", str(node.root), "kube-apiserver", "--a", "--b", code=3)

    assert "← APIServerConfig.KubeAPIServer.serviceClusterIPRange" in text
    assert json.loads(absent)["items"][0]["wouldBeSetBy"] == ["KubeletConfig.maxPods"]


def test_certificates_are_listed_and_the_one_that_is_named_is_renewed(applied: Node) -> None:
    node = applied
    argv = ["--conf", str(node.conf), "--root", str(node.root)]
    kubeconfig, other = node.root / "var/lib/kubelet/kubeconfig", node.root / "var/lib/kube-proxy/kubeconfig"
    before = kubeconfig.read_text(), other.read_text()

    items = json.loads(node.nodeup("certs", *argv, "--json").stdout)["items"]
    plan = node.nodeup("certs", "renew", "kubelet", *argv, code=2).stdout
    unchanged = kubeconfig.read_text(), other.read_text()
    node.nodeup("certs", "renew", "no-such", *argv, code=5)
    node.nodeup("certs", "renew", "kubelet", "--yes", *argv)

    assert {item["state"] for item in items} == {"ok"}
    assert plan.splitlines()[-1] == "nothing was changed; --yes renews"
    assert unchanged == before
    assert kubeconfig.read_text() != before[0]
    assert other.read_text() == before[1]
    assert node.plan().startswith("0 changes")
