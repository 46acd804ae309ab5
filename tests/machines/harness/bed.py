"""A test bed: one network, its machines and volumes, made in a `with` and gone after it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.machines.harness.machine import Machine
from tests.machines.harness.network import Network
from tests.machines.harness.rootfs import CACHE, debian_tree
from tests.machines.harness.volume import Volume


class Bed:
    """Everything that a test of machines needs; `keep` in the environment (KEEP_MACHINES=1) leaves the files for a look."""

    def __init__(self, name: str) -> None:
        self.tree = debian_tree()
        self.directory = Path(tempfile.mkdtemp(prefix=f"bed-{name}-", dir=CACHE))
        self.network = Network(f"{name}{os.getpid() % 10000}", self.directory)
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
