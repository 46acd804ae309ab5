"""Where the real etcd binaries of the tests lie; packaging/fetch-etcd puts them there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("NODE_AGENTS_CACHE", ROOT / ".cache")) / "etcd"


def etcd_binaries(version: str = "default") -> Path:
    """Return the directory with etcd, etcdctl and (from 3.5) etcdutl of `version`, or skip the test and say what to run."""
    directory = CACHE / version
    if not (directory / "etcd").is_file():
        pytest.skip(f"no etcd {version} in {CACHE}: run packaging/fetch-etcd {version}")
    return directory.resolve()


def versions_present() -> tuple[str, ...]:
    """Return the versions that were fetched, oldest first; the link `default` is not one of them."""
    found = [p.name for p in CACHE.glob("*") if not p.is_symlink() and (p / "etcd").is_file()]
    return tuple(sorted(found, key=lambda name: [int(part) for part in name.split(".")]))
