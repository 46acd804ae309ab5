"""What machine tests share: the executable for nodes, built once for the code as it is."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.machines.harness.rootfs import CACHE
from tests.machines.harness.shell import host

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def executable() -> Path:
    """Return the directory that holds nodeup, nodeup.xz and nodeup.sha256, built from the working tree."""
    files = sorted(
        host(
            "git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "agents", "nodeup", "protokube", "etcdmanager", "packaging"
        ).stdout.split()
    )
    digest = hashlib.sha256()
    for name in files:
        if (ROOT / name).is_file():
            digest.update(name.encode() + (ROOT / name).read_bytes())
    out = CACHE / "executables" / digest.hexdigest()[:16]
    if not (out / "nodeup.xz").is_file():
        built = subprocess.run(
            [ROOT / ".venv/bin/python", ROOT / "packaging/bundle.py", "--out", out], capture_output=True, text=True, check=False
        )
        assert built.returncode == 0, built.stderr[-3000:]
    return out
