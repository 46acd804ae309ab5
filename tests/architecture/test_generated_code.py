"""The generated gRPC code is what our .proto files say: whoever changes one generates the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_generated_modules_are_those_of_the_proto_files(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="protoc comes with grpcio-tools, which only development needs")
    subprocess.run([sys.executable, ROOT / "packaging/generate_proto.py", "--into", tmp_path], check=True)

    committed = [path for package in ("etcdmanager", "nodeup") for path in (ROOT / package).rglob("*_pb2*.py*") if path.suffix != ".pyc"]

    assert committed
    for path in committed:
        assert path.read_text() == (tmp_path / path.relative_to(ROOT)).read_text(), f"{path} is not what its .proto says: make proto"
