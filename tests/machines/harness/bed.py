"""A test bed: one network, its machines and volumes, made in a `with` and gone after it.

A test that is killed cannot clean up; the next bed sweeps away what beds of dead processes left.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.machines.harness.machine import Machine, cgroup_root
from tests.machines.harness.network import Network
from tests.machines.harness.rootfs import CACHE, debian_tree
from tests.machines.harness.shell import eventually, host
from tests.machines.harness.volume import Volume


class Bed:
    """Everything that a test of machines needs; `keep` in the environment (KEEP_MACHINES=1) leaves the files for a look."""

    def __init__(self, name: str) -> None:
        self.tree = debian_tree()
        sweep()
        self.directory = Path(tempfile.mkdtemp(prefix=f"bed-{os.getpid()}-", dir=CACHE))
        self.network = Network(f"{os.getpid()}-{name}", self.directory)
        self._machines: list[Machine] = []
        self._volumes: list[Volume] = []

    def machine(self, name: str, number: int = 11) -> Machine:
        """Return a machine that has not been booted yet, with the address PREFIX.number."""
        machine = Machine(self.network, self.directory / name, self.tree, name=name, number=number)
        self._machines.append(machine)
        return machine

    def volume(self, name: str, size: str = "1G") -> Volume:
        """Return a blank disk."""
        volume = Volume(self.directory, name, size)
        self._volumes.append(volume)
        return volume

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for machine in self._machines:
            if kind is not None:
                print(f"--- console of {machine.name} (end) ---\n{machine.console()[-1500:]}")
            machine.close()
        for volume in self._volumes:
            volume.close()
        self.network.close()
        if not os.environ.get("KEEP_MACHINES"):
            shutil.rmtree(self.directory, ignore_errors=True)


def sweep() -> None:
    """Remove what beds of processes that no longer run left behind: machines, namespaces, loop devices, files."""
    for directory in CACHE.glob("bed-*-*"):
        pid = directory.name.split("-")[1]
        if Path(f"/proc/{pid}").exists():
            continue
        for group in (cgroup_root() / "node-agents").glob(f"na-{pid}-*"):
            (group / "cgroup.kill").write_text("1")
            eventually(lambda group=group: "populated 0" in (group / "cgroup.events").read_text(), within=10, what=f"end of {group}")
        for image in directory.glob("*.img"):
            for line in host("losetup", "--associated", image).stdout.splitlines():
                host("losetup", "--detach", line.split(":")[0], check=False)
        for line in host("ip", "netns", "list").stdout.splitlines():
            if line.startswith(f"na-{pid}-"):
                host("ip", "netns", "del", line.split()[0], check=False)
        shutil.rmtree(directory, ignore_errors=True)
