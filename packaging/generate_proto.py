#!/usr/bin/env python3
"""Generate the Python modules of every .proto file (`make proto`); the output is committed, so that running needs no protoc."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run protoc; return its exit status."""
    from grpc_tools import protoc

    parser = argparse.ArgumentParser(description="Generate the Python modules of every .proto file.")
    parser.add_argument("--into", type=Path, default=ROOT)
    into = parser.parse_args().into
    sources = sorted(str(path.relative_to(ROOT)) for package in ("etcdmanager", "nodeup") for path in (ROOT / package).rglob("*.proto"))
    outputs = [f"--{kind}_out={into}" for kind in ("python", "pyi", "grpc_python")]
    return int(protoc.main(["protoc", f"--proto_path={ROOT}", *outputs, *sources]))


if __name__ == "__main__":
    sys.exit(main())
