"""Turns the keeper of every volume of a configuration until all are settled, as protokube does, and prints how they ended.

drive.py CONFIG [KILL_AT]       KILL_AT: the process is killed just before its KILL_AT-th operation that changes the machine
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from agents.clock import SystemClock
from agents.host.local import LocalHost
from agents.host.protocol import CommandResult
from protokube.spec import load_config
from protokube.volumes import devices
from protokube.volumes.execute import Executor
from protokube.volumes.keeper import Keeper

LOOKS = ("blkid",)


class MortalHost(LocalHost):
    """This machine, until the fatal operation. Commands die half-way: they are started, and killed together with us."""

    def __init__(self, kill_at: int) -> None:
        self.operations: list[str] = []
        self._kill_at = kill_at

    def operation(self, name: str) -> None:
        self.operations.append(name)
        if len(self.operations) == self._kill_at:
            print(f"killed before {name}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    def write(self, path: str, content: bytes, *, mode: int = 0o644, owner: str | None = None, group: str | None = None) -> None:
        self.operation(f"write {path}")
        super().write(path, content, mode=mode, owner=owner, group=group)

    def remove(self, path: str) -> None:
        self.operation(f"remove {path}")
        super().remove(path)

    def make_directory(self, path: str, *, mode: int = 0o755, owner: str | None = None, group: str | None = None) -> None:
        self.operation(f"make_directory {path}")
        super().make_directory(path, mode=mode, owner=owner, group=group)

    def run(
        self, argv: Sequence[str], *, timeout: timedelta, stdin: bytes | None = None, environment: Mapping[str, str] | None = None
    ) -> CommandResult:
        if argv[0] not in LOOKS and "--list" not in argv:
            self.operation(" ".join(argv[:2]))
        return super().run(argv, timeout=timeout, stdin=stdin, environment=environment)


class MortalDevices(devices.BlockDevices):
    """Counts the writes to devices, too."""

    def _write_sector(self, device: devices.Device, sector: bytes) -> None:
        assert isinstance(self._host, MortalHost)
        self._host.operation(f"write sector of {device.path}")
        super()._write_sector(device, sector)


def main() -> None:
    from protokube.volumes import execute

    execute.BlockDevices = MortalDevices  # type: ignore[misc]
    host = MortalHost(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    config = load_config(host, sys.argv[1])
    answer = []
    for wanted in config.volumes:
        keeper = Keeper(host, wanted, Executor(host=host, wanted=wanted, environment=config.environment), SystemClock())
        for _ in range(20):
            keeper.turn()
            if keeper.last.is_settled:
                break
        last = keeper.last
        step = last.step
        answer.append(
            {
                "phase": last.phase.value,
                "step": type(step).__name__,
                "code": getattr(step, "code", ""),
                "reason": getattr(step, "reason", ""),
                "error": last.error,
            }
        )
    print(json.dumps({"volumes": answer, "operations": host.operations}))


main()
