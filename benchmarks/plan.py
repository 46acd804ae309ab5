"""How long nodeup takes to start and to plan the example control-plane node.

    python benchmarks/plan.py [--runs 7]

Makes an example state store and a directory that stands for the machine, and times whole processes, as an operator would; and, in one
process, the largest case of the conformance corpus.
Prints the median, the best and the worst; exits non-zero where a median misses its target (issue 2: plan under 1 s, --version
and --help under 150 ms).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agents.cli import table

ROOT = Path(__file__).resolve().parents[1]
OS_RELEASE = 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Times of one command, in seconds."""

    what: str
    seconds: tuple[float, ...]
    #: None: told, not judged.
    target: float | None

    @property
    def missed(self) -> bool:
        """Whether the median is over its target."""
        return self.target is not None and statistics.median(self.seconds) > self.target


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="how often each command is run (default 7)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="bench-plan-") as directory:
        figures = measure(Path(directory), runs)
    rows = [
        (
            f.what,
            f"{statistics.median(f.seconds):.3f}",
            f"{min(f.seconds):.3f}",
            f"{max(f.seconds):.3f}",
            f.target,
            "MISSED" if f.missed else "",
        )
        for f in figures
    ]
    print(table(("figure (s)", "median", "best", "worst", "target", ""), rows, right=("median", "best", "worst", "target")))
    return 1 if any(figure.missed for figure in figures) else 0


def measure(directory: Path, runs: int) -> list[Figure]:
    """Return all figures."""
    conf = _example(directory)
    empty, made = _machine(directory / "empty"), _machine(directory / "made")
    version = _times(lambda: _nodeup("--version"), runs)
    usage = _times(lambda: _nodeup("--help"), runs)
    first = _times(lambda: _nodeup("plan", "--conf", str(conf), "--root", str(empty), code=2), runs)
    applied = _times(lambda: _nodeup("apply", "--conf", str(conf), "--root", str(made)), 1)
    again = _times(lambda: _nodeup("plan", "--conf", str(conf), "--root", str(made)), runs)
    return [
        Figure(what="nodeup --version", seconds=version, target=0.150),
        Figure(what="nodeup --help", seconds=usage, target=0.150),
        Figure(what="nodeup plan, nothing there yet", seconds=first, target=1.0),
        Figure(what="nodeup apply below a directory (15 RSA keys)", seconds=applied, target=None),
        Figure(what="nodeup plan, all as wanted", seconds=again, target=1.0),
        *_largest_case(runs),
    ]


def _largest_case(runs: int) -> list[Figure]:
    """Return the time from the documents of the largest corpus case to its graph, in this process; nothing without the corpus."""
    from nodeup.engine.graph import build_graph
    from nodeup.planners import plan
    from nodeup.planners.context import Profile
    from tests.conformance.corpus import cases

    whole = [case for case in cases() if not case.builder]
    if not whole:
        return []
    largest = max(whole, key=lambda case: (case.directory / "tasks.yaml").stat().st_size)
    seconds = _times(lambda: build_graph(plan(largest.spec(), largest.facts(), Profile.NATIVE)), runs)
    return [Figure(what=f"decode, plan and graph of {largest.name}", seconds=seconds, target=1.0)]


def _times(run: Callable[[], object], runs: int) -> tuple[float, ...]:
    found = []
    for _ in range(runs):
        began = time.monotonic()
        run()
        found.append(time.monotonic() - began)
    return tuple(found)


def _nodeup(*words: str, code: int = 0) -> None:
    done = subprocess.run([sys.executable, "-m", "nodeup.cli", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr


def _example(directory: Path) -> Path:
    argv = [sys.executable, "examples/make_state_store.py", "--cluster", "bench.example.com"]
    argv += ["--store", f"file://{directory}/bench.example.com", "--boot-config-dir", str(directory / "boot")]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    return directory / "boot/control-plane-main/kube_env.yaml"


def _machine(root: Path) -> Path:
    (root / "etc").mkdir(parents=True)
    (root / "etc/os-release").write_text(OS_RELEASE)
    (root / "etc/hostname").write_text("cp-a\n")
    return root


if __name__ == "__main__":
    sys.exit(main())
