"""What a restore is measured against: `etcdutl snapshot restore` for each member, and the boot of them all, with the snapshot at hand.

No download, no proof of the backup, no backup of what is there, no TLS, nothing that notices or orders: the work that nobody can leave out.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from agents.errors import AgentError
from etcdmanager.etcd.client import EtcdClient
from tests.support.etcd_binaries import etcd_binaries
from tests.support.members import free_ports

_BOOT_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Bare:
    """Seconds."""

    restore: float
    boot: float

    @property
    def total(self) -> float:
        """Return both together."""
        return self.restore + self.boot


async def bare_restore(snapshot: Path, room: Path, *, members: int, version: str) -> Bare:
    """Restore `snapshot` for so many members at once, as revisions go up in a real restore, and boot them until one takes a write."""
    binaries = etcd_binaries(version)
    ports = free_ports(2 * members)
    peers = {f"m{n}": f"http://127.0.0.1:{ports[n]}" for n in range(members)}
    clients = {f"m{n}": f"http://127.0.0.1:{ports[members + n]}" for n in range(members)}
    cluster = [f"--initial-cluster={','.join(f'{name}={url}' for name, url in peers.items())}", "--initial-cluster-token=bare"]
    began = time.monotonic()
    raised = ["--bump-revision=1000000000", "--mark-compacted", "--skip-hash-check=true"]
    restores = [
        [
            str(binaries / "etcdutl"),
            "snapshot",
            "restore",
            str(snapshot),
            f"--data-dir={room / name}",
            f"--name={name}",
            *cluster,
            f"--initial-advertise-peer-urls={url}",
            *raised,
        ]
        for name, url in peers.items()
    ]
    await asyncio.gather(*(_run(argv) for argv in restores))
    restored = time.monotonic()
    running = [_start(binaries, room, name, url, clients[name], cluster) for name, url in peers.items()]
    try:
        await _until_written(list(clients.values()))
        return Bare(restore=restored - began, boot=time.monotonic() - restored)
    finally:
        for process in running:
            process.kill()
            process.wait()


def _start(binaries: Path, room: Path, name: str, peer: str, client: str, cluster: list[str]) -> subprocess.Popen[bytes]:
    argv = [
        str(binaries / "etcd"),
        f"--data-dir={room / name}",
        f"--name={name}",
        *cluster,
        f"--initial-advertise-peer-urls={peer}",
        f"--listen-peer-urls={peer}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
    ]
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def _run(argv: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE)
    _, stderr = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{argv[0]} ended with {process.returncode}: {stderr.decode(errors='replace')[-1000:]}")


async def _until_written(urls: list[str]) -> None:
    async with asyncio.timeout(_BOOT_SECONDS), EtcdClient(urls) as client:
        while True:
            try:
                await client.put(b"alive", b"yes", deadline=timedelta(milliseconds=500))
            except AgentError:
                await asyncio.sleep(0.02)
            else:
                return
