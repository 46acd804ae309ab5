"""Generate the Python of the .proto files beside this one (`make proto`). Needs grpcio-tools; the output is committed."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: Import paths in the generated code start here, so that they are the packages' own names.
ROOT = HERE.parents[2]


def main() -> int:
    """Run protoc over every .proto of this directory; return its exit status."""
    from grpc_tools import protoc

    sources = [str(path.relative_to(ROOT)) for path in sorted(HERE.glob("*.proto"))]
    outputs = [f"--{kind}={ROOT}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    return int(protoc.main(["protoc", f"--proto_path={ROOT}", *outputs, *sources]))


if __name__ == "__main__":
    sys.exit(main())
