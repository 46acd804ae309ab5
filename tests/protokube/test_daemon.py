"""protokube as a program: ready, watched, alone, and saying what it waits for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.protokube.sandbox import Sandbox

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        os.geteuid() != 0 or not Path("/dev/loop-control").exists() or shutil.which("mkfs.ext4", path="/usr/sbin:/sbin") is None,
        reason="needs root, loop devices and e2fsprogs",
    ),
]

ROOT = Path(__file__).resolve().parents[2]
PROTOKUBE = ("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "protokube.cli")


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path) as made:
        yield made


class Running:
    """A running protokube, and what it tells systemd."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self.process, self._channel = process, channel

    def wait_for(self, message: str) -> str:
        """Return the first message to systemd from now on that begins so."""
        while not (said := self._channel.recv(4096).decode()).startswith(message):
            pass
        return said


@contextmanager
def running(sandbox: Sandbox, config: Path) -> Iterator[Running]:
    path = sandbox.directory / "notify"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        channel.settimeout(30)
        environment = {**os.environ, "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "600000"}
        process = subprocess.Popen([*sandbox.enter, *PROTOKUBE, "run", "--config", config], env=environment, stderr=subprocess.DEVNULL)
        try:
            yield Running(process, channel)
        finally:
            process.kill()
            process.wait()


def status(sandbox: Sandbox) -> dict[str, object]:
    document = json.loads(sandbox(*PROTOKUBE, "status", "--json", check=False))
    assert isinstance(document, dict)
    return document


def test_it_is_ready_when_its_volumes_are_published_and_feeds_the_watchdog(sandbox: Sandbox) -> None:
    with running(sandbox, sandbox.write_config({"path": sandbox.device()})) as protokube:
        protokube.wait_for("READY=1")
        assert sandbox.published()["member"] == "main-0"
        protokube.wait_for("WATCHDOG=1")
        protokube.wait_for("WATCHDOG=1")
        assert status(sandbox)["state"] == "running"


def test_it_is_ready_without_its_disk_and_says_what_it_waits_for(sandbox: Sandbox) -> None:
    link = sandbox.directory / "disk"
    with running(sandbox, sandbox.write_config({"path": str(link)})) as protokube:
        protokube.wait_for("READY=1")
        found = status(sandbox)
        assert found["state"] == "waiting"
        assert str(link) in json.dumps(found["waiting"])

        link.symlink_to(sandbox.device())

        protokube.wait_for("STATUS=1 of 1 volumes published")


def test_a_second_one_is_refused(sandbox: Sandbox) -> None:
    config = sandbox.write_config({"path": sandbox.device()})
    with running(sandbox, config) as protokube:
        protokube.wait_for("READY=1")
        second = subprocess.run([*sandbox.enter, *PROTOKUBE, "run", "--config", config], capture_output=True, check=False, timeout=30)
        assert second.returncode == 7
        assert str(protokube.process.pid).encode() in second.stderr


def test_a_vanished_mount_comes_back(sandbox: Sandbox) -> None:
    with running(sandbox, sandbox.write_config({"path": sandbox.device()})) as protokube:
        protokube.wait_for("STATUS=1 of 1")
        sandbox("umount", "/mnt/master-main")
        while sandbox("sh", "-c", "mountpoint -q /mnt/master-main || echo gone"):
            protokube.wait_for("WATCHDOG=1")
        # published again after it was mounted again, and so after the old publication was taken back
        while "mountedAt" not in sandbox("cat", "/run/node-agents/volumes/main.json", check=False):
            protokube.wait_for("WATCHDOG=1")


def test_it_stops_at_once_and_leaves_volumes_to_etcd(sandbox: Sandbox) -> None:
    with running(sandbox, sandbox.write_config({"path": sandbox.device()})) as protokube:
        protokube.wait_for("READY=1")
        protokube.process.send_signal(signal.SIGTERM)
        assert protokube.process.wait(timeout=5) == 0
    sandbox("mountpoint", "/mnt/master-main")
    assert sandbox.published()["member"] == "main-0"


def test_volumes_and_doctor_show_what_is_there(sandbox: Sandbox) -> None:
    device = sandbox.device()
    config = sandbox.write_config({"path": device}, allowFormat=False)
    (row,) = json.loads(sandbox(*PROTOKUBE, "volumes", "--json", "--config", config))["items"]
    assert (row["device"], row["content"], row["phase"], row["mounted at"]) == (device, "blank", "located", None)
    assert "format-not-allowed" in sandbox(*PROTOKUBE, "doctor", "--config", config, check=False)
    assert not any(Path(device).read_bytes())
