"""How fast managers form a cluster, how fast they recover, and what they cost while nothing happens.

    python benchmarks/formation.py [--members 3] [--idle 60]

Real processes with real etcd over TLS on 127.0.0.1-3; needs packaging/fetch-etcd. Prints a table and exits non-zero where a
figure misses its target (issue 2: first write under 15 s, idle RSS under 80 MB, CPU under 1 % of a core).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agents.cli import table
from tests.support.managers import ManagerGroup, manager_group


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured figure, and what it should stay under."""

    what: str
    value: float
    unit: str
    #: None: told, not judged.
    target: float | None = None

    @property
    def missed(self) -> bool:
        """Return whether it is over its target."""
        return self.target is not None and self.value > self.target


async def measure(group: ManagerGroup, *, idle: float) -> list[Figure]:
    """Return all figures of one group from its start on."""
    began = time.monotonic()
    group.start_all()
    await group.until_written("etcd-a", b"first", b"write")
    figures = [Figure(what="start to first write", value=time.monotonic() - began, unit="s", target=15)]
    await group.until_healthy()
    figures.append(Figure(what="start to all members serving", value=time.monotonic() - began, unit="s", target=15))
    await asyncio.sleep(10)
    figures += await at_rest(group, idle)
    figures += await after_kills(group)
    return figures


async def at_rest(group: ManagerGroup, seconds: float) -> list[Figure]:
    """Return CPU and memory of the managers (not of etcd) over `seconds` in which nothing is asked of them."""
    found = []
    processes = {name: psutil.Process(m.process.pid) for name, m in group.managers.items()}
    before = {name: sum(p.cpu_times()[:2]) for name, p in processes.items()}
    await asyncio.sleep(seconds)
    leader = group.leader()
    for name, process in processes.items():
        role = "leader" if name == leader else "follower"
        used = sum(process.cpu_times()[:2]) - before[name]
        found.append(Figure(what=f"idle CPU, {name} ({role})", value=100 * used / seconds, unit="% of a core", target=1))
        found.append(Figure(what=f"idle RSS, {name} ({role})", value=process.memory_info().rss / 2**20, unit="MiB", target=80))
    return found


async def after_kills(group: ManagerGroup) -> list[Figure]:
    """Return how long writes pause when a leader and its etcd are killed, and how long until another manager leads."""
    first = group.leader()
    group.kill(first, etcd=True)
    began = time.monotonic()
    if len(group.names) == 1:
        group.start(first)
        await group.until_written(first, b"again", b"write")
        return [Figure(what="manager and etcd killed: writes again after", value=time.monotonic() - began, unit="s")]
    other = next(name for name in group.names if name != first)
    await group.until_written(other, b"again", b"write")
    written = Figure(what="leader and its etcd killed: writes again after", value=time.monotonic() - began, unit="s")
    while group.leader() in {"", first}:  # noqa: ASYNC110  another process's doing
        await asyncio.sleep(0.1)
    return [written, Figure(what="leader killed: another manager leads after", value=time.monotonic() - began, unit="s")]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=3, choices=(1, 3))
    parser.add_argument("--idle", type=float, default=60.0, help="seconds to watch at rest")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, manager_group(Path(directory), arguments.members) as group:
        figures = asyncio.run(measure(group, idle=arguments.idle))
    rows = [
        (f.what, f"{f.value:.2f}", f.unit, "" if f.target is None else f"< {f.target:g}", "MISSED" if f.missed else "") for f in figures
    ]
    print(table(("FIGURE", "VALUE", "UNIT", "TARGET", ""), rows, right={"VALUE"}))
    return 1 if any(f.missed for f in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
