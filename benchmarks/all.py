"""Every figure that docs/benchmarks.md claims, one program after another.

    python benchmarks/all.py

Exits non-zero when any figure misses its target. Nothing else should run on the machine meanwhile: the programs share its cores.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAMS = ("plan.py", "downloads.py", "apply.py", "fleet.py", "formation.py", "backup.py", "restore.py")


def main() -> int:
    """Run the programs and return how many missed a target."""
    missed = 0
    for program in PROGRAMS:
        print(f"\n== benchmarks/{program}", flush=True)
        missed += subprocess.run([sys.executable, str(HERE / program)], check=False).returncode != 0
    return missed


if __name__ == "__main__":
    sys.exit(main())
