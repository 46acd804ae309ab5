"""What nobody wants any more, and going back, with nodeup as a program below a directory."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.node_directory import Node

HOLD = "etc/node-agents/nodeup-hold"


def files(root: Path) -> dict[str, tuple[bytes, int]]:
    """Everything but what is only our own state."""
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode)
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink() and "node-agents/" not in str(path.relative_to(root)).removeprefix("etc/node-agents/")
    }


def rollback(node: Node, *words: str, code: int = 0) -> str:
    return node.nodeup("rollback", "--root", str(node.root), *words, code=code).stdout


def test_changing_the_profile_leaves_nothing_of_the_other_one_behind(applied: Node) -> None:
    native = files(applied.root)
    assert "etc/node-agents/protokube.yaml" in native

    plan = applied.plan("--profile", "kops", code=2)
    applied.apply("--profile", "kops")
    kops = files(applied.root)
    applied.apply()

    assert "- file /etc/node-agents/protokube.yaml  no longer wanted" in plan
    assert "etc/node-agents/protokube.yaml" not in kops
    assert "etc/kubernetes/manifests/etcd-main-control-plane-main.manifest" in kops
    assert files(applied.root) == native
    assert applied.plan().splitlines()[0] == "0 changes, 0 restarts, 0 downloads."


def test_verify_counts_what_nobody_wants_any_more(applied: Node) -> None:
    assert "no longer wanted" in applied.verify("--profile", "kops", code=2)


def test_what_an_operator_made_of_our_file_stays(applied: Node) -> None:
    path = applied.root / "etc/node-agents/protokube.yaml"
    path.write_text("mine\n")

    plan = applied.plan("--profile", "kops", code=2)
    applied.apply("--profile", "kops")

    assert "/etc/node-agents/protokube.yaml is not wanted any more and stays" in plan
    assert path.read_text() == "mine\n"


def test_a_rollback_shows_first_and_then_puts_everything_back(applied: Node) -> None:
    native = files(applied.root)
    applied.apply("--profile", "kops")
    kops = files(applied.root)
    listed = json.loads(rollback(applied, "--list", "--json"))["items"]

    plan = rollback(applied, code=2)
    assert files(applied.root) == kops
    done = rollback(applied, "--yes")

    assert [run["verb"] for run in listed] == ["apply", "apply"]
    assert "~ file /etc/node-agents/protokube.yaml  as before run" in plan
    assert "Nothing was changed; --yes does it." in plan
    assert "converges this machine to its specification again" in done
    assert files(applied.root) == native
    assert applied.plan().splitlines()[0] == "0 changes, 0 restarts, 0 downloads."


def test_a_hold_keeps_apply_away_until_it_is_lifted(applied: Node) -> None:
    applied.apply("--profile", "kops")
    rollback(applied, "--yes", "--hold")
    before = files(applied.root)

    refused = applied.apply("--profile", "kops", code=4).stderr
    assert files(applied.root) == before
    applied.apply("--profile", "kops", "--lift-hold")

    assert "/etc/node-agents/nodeup-hold holds this machine as it is (rollback before run" in refused
    assert "--lift-hold" in refused
    assert not (applied.root / HOLD).exists()


def test_there_is_nothing_to_go_back_to_on_a_new_machine(node: Node) -> None:
    assert "no run that changed anything" in rollback(node, "--list").lower()
    rollback(node, "--yes", code=5)


def test_only_what_is_named_is_done_and_nothing_is_removed(applied: Node) -> None:
    scheduler = applied.root / "etc/kubernetes/manifests/kube-scheduler.manifest"
    kubelet = applied.root / "var/lib/kubelet/kubelet.conf"
    scheduler.write_text("drift\n")
    kubelet.write_text("drift\n")

    done = applied.apply("--only", "/etc/kubernetes/manifests/kube-scheduler.manifest", "--profile", "kops")

    assert scheduler.read_text() != "drift\n"
    assert kubelet.read_text() == "drift\n"
    assert (applied.root / "etc/node-agents/protokube.yaml").is_file(), "kops' profile has no such file, but it was not named"
    assert done.stdout.splitlines()[-2].startswith("1 change, ")
    assert "/var/lib/kubelet/kubelet.conf" in applied.plan(code=2)


def test_what_is_chosen_brings_what_it_is_made_of(node: Node) -> None:
    node.apply("--only", "/var/lib/kubelet/kubeconfig")

    made = {path for path in files(node.root) if not path.startswith(("run/", "var/lib/node-agents"))}
    assert "var/lib/kubelet/kubeconfig" in made
    assert not (node.root / "etc/kubernetes/manifests").exists()


def test_a_name_that_means_nothing_is_an_error_that_lists_the_kinds(node: Node) -> None:
    assert "kinds are files, services" in node.apply("--only", "nothing-like-it", code=3).stderr


def test_a_time_that_is_over_names_what_is_missing(node: Node) -> None:
    text = node.apply("--max-time", "0s", code=8).stderr

    assert "--max-time 0s is over; not done: " in text
    node.apply("--max-time", "5m")


def test_a_failure_takes_back_what_the_run_did_where_that_was_asked_for(applied: Node) -> None:
    before = files(applied.root)
    in_the_way = applied.root / "etc/kubernetes/manifests/etcd-main-control-plane-main.manifest"
    in_the_way.mkdir()

    text = applied.apply("--profile", "kops", "--rollback-on-failure", code=3).stderr

    assert "files and units are back to before run" in text
    assert files(applied.root) == before
