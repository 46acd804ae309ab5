"""A network volume: a sparse file behind a loop device of the host, which machines see as a disk."""

from __future__ import annotations

import os
from pathlib import Path

from tests.machines.harness.shell import host


class Volume:
    """A disk of its own life: it outlives the machine that it is plugged into."""

    def __init__(self, directory: Path, name: str, size: str) -> None:
        self.name = name
        self.image = directory / f"{name}.img"
        host("truncate", "-s", size, self.image)
        self.loop = host("losetup", "--find", "--show", self.image).stdout.strip()

    def device_line(self, device: str) -> str:
        """Return the line by which a machine's first process makes the node /dev/`device` and the links that udev would make."""
        number = os.stat(self.loop).st_rdev
        return f"{device} {os.major(number)} {os.minor(number)} disk/by-id/virtio-{self.name}\n"

    def close(self) -> None:
        """Detach the loop device and delete the file."""
        host("losetup", "--detach", self.loop, check=False)
        self.image.unlink(missing_ok=True)
