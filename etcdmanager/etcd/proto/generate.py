"""Regenerate the Python modules beside the .proto files of this directory: `python -m etcdmanager.etcd.proto.generate`.

The generated files are committed, so that running and installing need no protoc. It is a development tool: it
needs grpcio-tools and is imported by nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[2]


def main() -> int:
    """Run protoc on every .proto file here; return its exit code."""
    from grpc_tools import protoc

    sources = [str(path.relative_to(_ROOT)) for path in sorted(_HERE.glob("*.proto"))]
    outputs = [f"--{kind}_out={_ROOT}" for kind in ("python", "pyi", "grpc_python")]
    return int(protoc.main(["protoc", f"-I{_ROOT}", *outputs, *sources]))


if __name__ == "__main__":
    sys.exit(main())
