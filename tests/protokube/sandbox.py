"""A mount namespace with its own /mnt and /run/node-agents, and loop devices: a machine small enough to be made for each test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Self, cast

import yaml

DRIVE = Path(__file__).with_name("drive.py")
CLUSTER = "demo.example.com"


def command(*argv: object, check: bool = True, stdin: bytes | None = None) -> str:
    """Run a command; return its output, or fail with it."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, check=False, input=stdin, timeout=120)
    assert not check or done.returncode == 0, f"{argv}: {done.returncode}: {done.stdout.decode()}{done.stderr.decode()}"
    return done.stdout.decode().strip()


class Sandbox:
    """Made in a `with`; everything goes with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._loops: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        Path("/run/node-agents").mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; exec sleep 1000"], stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()
        for place in ("/run/node-agents", "/mnt"):
            self("mount", "-t", "tmpfs", "tmpfs", place)
        # A test must not start the units of the machine that it runs on.
        systemctl = command("sh", "-c", "command -v systemctl", check=False)
        if systemctl:
            self("mount", "--bind", "/bin/true", os.path.realpath(systemctl))
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.communicate()
        for loop in self._loops:
            command("losetup", "-d", loop, check=False)

    @property
    def enter(self) -> tuple[str, ...]:
        """What stands before a command that is to run inside."""
        assert self._process is not None
        return ("nsenter", f"--target={self._process.pid}", "--mount")

    def __call__(self, *argv: object, check: bool = True) -> str:
        """Run a command inside."""
        return command(*self.enter, *argv, check=check)

    def image(self, name: str, size: str = "64M") -> Path:
        """Make a sparse file."""
        path = self.directory / f"{name}.img"
        command("truncate", f"--size={size}", path)
        return path

    def device(self, name: str = "disk", size: str = "64M") -> str:
        """Make a blank block device; return its path."""
        loop = command("losetup", "--find", "--show", self.image(name, size))
        self._loops.append(loop)
        return loop

    def write_config(self, find: dict[str, str], **fields: object) -> Path:
        """Write a configuration with one volume, of etcd main; return its path."""
        volume = {"etcdCluster": "main", "memberName": "main-0", "find": find, "allowFormat": True, **fields}
        document = {"apiVersion": "node-agents/v1", "kind": "ProtokubeConfig", "clusterName": CLUSTER, "volumes": [volume]}
        path = self.directory / "protokube.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    def drive(self, config: Path, *, kill_at: int = 0) -> dict[str, object] | None:
        """Turn until all is settled; return how the volume ended, with the operations done, or None if the drive was killed."""
        output = self(sys.executable, DRIVE, config, kill_at, check=not kill_at).splitlines()
        if not output or not output[-1].startswith("{"):
            return None
        answer = json.loads(output[-1])
        return cast("dict[str, object]", answer["volumes"][0] | {"operations": answer["operations"]})

    def published(self) -> dict[str, object]:
        """Return the publication of etcd main."""
        return cast("dict[str, object]", json.loads(self("cat", "/run/node-agents/volumes/main.json")))

    def marker(self, place: str) -> dict[str, object]:
        """Return the marker in a directory."""
        return cast("dict[str, object]", json.loads(self("cat", f"{place}/.etcd-volume.json")))
