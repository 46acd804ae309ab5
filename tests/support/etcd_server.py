"""A real etcd of one member for tests: started on loopback with free ports, stopped at the end."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.etcd_binaries import etcd_binaries


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningEtcd:
    """Where it answers, and its process, for tests that stop or kill it."""

    url: str
    data_dir: Path
    binaries: Path
    process: subprocess.Popen[bytes]


def free_port() -> int:
    """Return a port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_etcd(directory: Path, *, version: str = "default", arguments: tuple[str, ...] = ()) -> Iterator[RunningEtcd]:
    """Start etcd with its data in `directory`/data; skip where its binaries are missing."""
    binaries = etcd_binaries(version)
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    data = directory / "data"
    log = (directory / "etcd.log").open("wb")
    process = subprocess.Popen(
        [
            str(binaries / "etcd"),
            f"--data-dir={data}",
            "--name=one",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=one={peer}",
            *arguments,
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={"PATH": "/usr/bin:/bin"},
    )
    try:
        _await_port(int(client.rpartition(":")[2]), process)
        yield RunningEtcd(url=client, data_dir=data, binaries=binaries, process=process)
    finally:
        process.kill()
        process.wait()
        log.close()


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, "etcd ended by itself; see etcd.log"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    msg = f"etcd does not listen on port {port} after 20 s"
    raise AssertionError(msg)
