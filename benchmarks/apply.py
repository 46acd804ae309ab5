"""How long an apply takes on a booted machine: with nothing to do, and on a prepared one (packages present, assets cached).

    sudo python benchmarks/apply.py [--runs 5]

Boots the control-plane machine of tests/machines/test_first_light.py (systemd in a container; kubelet and containerd are stand-ins, etcd is
real), applies again and again, then boots a second, blank machine with the first one's cache. Exits non-zero where a median misses its
target (issue 3: 3 s and 10 s). Needs root, and five minutes.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agents.cli import table
from tests.machines.harness.bed import Bed
from tests.machines.harness.machine import Machine
from tests.machines.harness.rootfs import CACHE
from tests.machines.test_first_light import WITH_CREDENTIALS, Light

ROOT = Path(__file__).resolve().parents[1]
#: Seconds (issue 3, item 7).
NOTHING_TO_DO, PREPARED = 3.0, 10.0


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="how often is applied with nothing to do (default 5)")
    runs = parser.parse_args().runs
    if os.geteuid() != 0:
        print("machines need root: nothing was measured")
        return 0
    executable = built()
    with Bed("bench") as bed:
        light = Light(bed, executable)
        light.boot()
        light.wait_until_it_runs()
        again = [seconds_of_an_apply(light.machine) for _ in range(runs)]
        cached = files_of_the_cache(light.machine)
        first = journalled(light.machine)
        print(f"nothing to do: {', '.join(f'{seconds:.2f}' for seconds in again)} s; first apply: {first:.1f} s", flush=True)
    with Bed("bench") as bed:
        light = Light(bed, executable)
        for path, content in cached.items():
            light.machine.put(path, content)
        light.boot()
        light.machine.wait_for_boot()
        light.wait_for_nodeup(180)
        prepared = journalled(light.machine)
        # The assets of both clusters are the same files: nothing may have been downloaded anew.
        assert files_of_the_cache(light.machine).keys() == cached.keys()
    rows = [
        ("apply, nothing to do, whole process", f"{statistics.median(again):.2f}", f"{min(again):.2f}–{max(again):.2f}", NOTHING_TO_DO),
        ("first apply, packages present, assets cached", f"{prepared:.2f}", "", PREPARED),
        ("first apply, packages present, assets from the network", f"{first:.2f}", "", None),
    ]
    print(table(("figure (s)", "median", "all", "target"), rows, right=("median", "target")))
    return int(statistics.median(again) > NOTHING_TO_DO) + int(prepared > PREPARED)


def built() -> Path:
    """Return the directory of the executable for nodes, built from this checkout."""
    out = CACHE / "executables" / "benchmark"
    subprocess.run([sys.executable, ROOT / "packaging/bundle.py", "--out", out], check=True, capture_output=True)
    return out


def seconds_of_an_apply(machine: Machine) -> float:
    """Return how long the process takes that finds nothing to change."""
    began = time.monotonic()
    done = machine.run(WITH_CREDENTIALS + "/opt/kops/bin/nodeup apply --conf /opt/kops/conf/kube_env.yaml 2>&1", timeout=120)
    took = time.monotonic() - began
    assert "0 changes" in done.stdout, done.stdout
    return took


def journalled(machine: Machine) -> float:
    """Return what the unit's first run says it took."""
    said = machine.run("journalctl -u kops-configuration.service --no-pager -o cat").stdout
    found = re.search(r"\d+ changes?, .*?in (\d+\.\d+) s", said)
    assert found is not None, said[-2000:]
    return float(found[1])


def files_of_the_cache(machine: Machine) -> dict[str, bytes]:
    """Return the downloads of a machine, without what was unpacked of them."""
    names = machine.run("find /var/cache/nodeup -maxdepth 1 -type f").stdout.split()
    # Read from the disk: a shell would make text of it.
    return {name: machine._on_disk(name).read_bytes() for name in names}  # noqa: SLF001


if __name__ == "__main__":
    sys.exit(main())
