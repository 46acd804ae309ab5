"""The example state store, a fresh node, and one that everything was applied to."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.node_directory import OS_RELEASE, ROOT, Node


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An example state store with stand-in assets that are served from a directory."""
    directory = tmp_path_factory.mktemp("example")
    argv = [
        sys.executable,
        "examples/make_state_store.py",
        "--cluster",
        "demo.example.com",
        "--store",
        f"file://{directory}/demo.example.com",
    ]
    argv += ["--boot-config-dir", str(directory / "boot"), "--assets-dir", str(directory / "assets"), "--make-stand-ins"]
    subprocess.run([*argv, "--assets-base", "http://127.0.0.1:1"], cwd=ROOT, check=True, capture_output=True, timeout=120)
    return directory


@pytest.fixture
def node(store: Path, tmp_path: Path) -> Node:
    root = tmp_path / "machine"
    (root / "etc").mkdir(parents=True)
    (root / "etc/os-release").write_text(OS_RELEASE)
    (root / "etc/hostname").write_text("cp-a\n")
    return Node(root=root, conf=store / "boot/control-plane-main/kube_env.yaml", assets=store / "assets")


@pytest.fixture(scope="package")
def applied_once(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """A machine that everything was applied to; tests get copies of it."""
    root = tmp_path_factory.mktemp("applied") / "machine"
    (root / "etc").mkdir(parents=True)
    (root / "etc/os-release").write_text(OS_RELEASE)
    (root / "etc/hostname").write_text("cp-a\n")
    node = Node(root=root, conf=store / "boot/control-plane-main/kube_env.yaml", assets=store / "assets")
    assert node.apply().stdout.rstrip().endswith("success")
    return node


@pytest.fixture
def applied(applied_once: Node, tmp_path: Path) -> Node:
    shutil.copytree(applied_once.root, tmp_path / "applied", symlinks=True)
    return replace(applied_once, root=tmp_path / "applied")
