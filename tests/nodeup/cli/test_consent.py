"""What nodeup's verbs that change the machine do before they may, on a terminal and without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.node_directory import ROOT, Node

CLUSTER = "demo.example.com"
KUBECONFIG = "var/lib/kubelet/kubeconfig"


def on_a_terminal(node: Node, typed: str, *words: str) -> tuple[int, str]:
    """Run nodeup on a terminal on which somebody has typed a line; return the exit code and what it showed."""
    operator, program = os.openpty()
    os.write(operator, f"{typed}\n".encode())
    argv = [sys.executable, "-m", "nodeup.cli", *words, "--root", str(node.root)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=program, stdout=program, stderr=program) as running:
        os.close(program)
        shown = b""
        while True:
            try:
                part = os.read(operator, 65536)
            except OSError:
                # What Linux says when the last program has closed its side.
                break
            shown += part
        code = running.wait(120)
    os.close(operator)
    return code, shown.decode()


def files(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file() and not path.is_symlink()}


@pytest.mark.parametrize("typed", ["y", "yes", "demo"])
def test_reset_on_a_terminal_shows_its_steps_and_takes_nothing_but_the_clusters_name(applied: Node, typed: str) -> None:
    before = files(applied.root)

    code, shown = on_a_terminal(applied, typed, "reset", "--conf", str(applied.conf))

    assert code == 4
    assert "remove   /srv/kubernetes" in shown
    assert "Type the cluster name to continue: " in shown
    assert "nothing was changed" in shown
    assert files(applied.root) == before


def test_reset_with_the_clusters_name_leaves_nothing_to_do_and_an_apply_makes_the_node_again(applied: Node) -> None:
    before = {path for path in files(applied.root) if "/etc/" in path}

    code, shown = on_a_terminal(applied, CLUSTER, "reset", "--conf", str(applied.conf))
    again = applied.nodeup("reset", "--root", str(applied.root)).stdout
    applied.apply()

    assert code == 0, shown
    assert again == "nothing of a node is left on this machine\n"
    assert {path for path in files(applied.root) if "/etc/" in path} == before


@pytest.mark.parametrize("words", [(), ("--cluster", "demo")])
def test_reset_with_yes_needs_the_clusters_name(applied: Node, words: tuple[str, ...]) -> None:
    said = applied.nodeup("reset", "--yes", *words, "--conf", str(applied.conf), "--root", str(applied.root), code=4).stderr

    assert f"--yes needs --cluster {CLUSTER}" in said


@pytest.mark.parametrize(("typed", "code"), [("n", 4), ("yes", 0)])
def test_a_renewal_on_a_terminal_shows_what_it_restarts_and_takes_a_yes(applied: Node, typed: str, code: int) -> None:
    before = (applied.root / KUBECONFIG).read_bytes()

    found, shown = on_a_terminal(applied, typed, "certs", "renew", "kubelet", "--conf", str(applied.conf))

    assert found == code, shown
    assert shown.index("↻ kubelet.service restart") < shown.index("Type yes to continue: ")
    assert ((applied.root / KUBECONFIG).read_bytes() == before) is (code == 4)


@pytest.mark.parametrize(("typed", "code"), [("n", 4), ("yes", 0)])
def test_a_rollback_on_a_terminal_shows_what_it_changes_and_takes_a_yes(applied: Node, typed: str, code: int) -> None:
    applied.apply("--profile", "kops")
    native = applied.root / "etc/node-agents/protokube.yaml"

    found, shown = on_a_terminal(applied, typed, "rollback")

    assert found == code, shown
    assert shown.index("file /etc/node-agents/protokube.yaml") < shown.index("Type yes to continue: ")
    assert native.exists() is (code == 0)
