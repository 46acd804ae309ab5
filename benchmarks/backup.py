#!/usr/bin/env python3
"""A backup that is compressed, stored, read back and opened, against `etcdctl snapshot save` of the same etcd: 200,000 keys / 400 MB.

    benchmarks/backup.py [--keys 200000] [--value-bytes 1850] [--runs 3] [--json]

One member over TLS on loopback, a store in a directory, all on one file system. `etcdctl snapshot save` writes the database as it is, and
checks the SHA-256 behind it. `backup-now` makes a ninth of it, writes that, reads it back, and walks every page. The best of
the runs counts, of either; they take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agents.host.local import LocalHost
from benchmarks.restore import fill, run
from etcdmanager.member.certificates import CLIENTS_CA, client_pair, load_authority
from tests.support.etcd_binaries import etcd_binaries
from tests.support.managers import ManagerGroup, manager_group


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured: seconds of the best run, MB/s of the database."""

    keys: int
    db_mb: float
    stored_mb: float
    #: From the command to its answer: the leader looks for requests every three seconds.
    enter_to_answer: float
    #: From the first byte that etcd sends to the commit, as the manifest tells it.
    backup: float
    backup_mb_per_second: float
    snapshot_save: float
    snapshot_save_mb_per_second: float
    #: What an operator would do to have the same size: `etcdctl snapshot save`, then gzip -1.
    snapshot_save_and_gzip: float
    load: float


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=200_000)
    parser.add_argument("--value-bytes", type=int, default=1850)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    room = tempfile.TemporaryDirectory(prefix="backup-", dir=os.environ.get("BENCH_DIR"))
    with room as directory, manager_group(Path(directory), 1) as group:
        figures = asyncio.run(measure(group, options.keys, options.value_bytes, options.runs, load))
    print(json.dumps(asdict(figures)) if options.json else "\n".join(f"{name:<28} {value}" for name, value in asdict(figures).items()))
    return 0


async def measure(group: ManagerGroup, keys: int, value_bytes: int, runs: int, load: float) -> Figures:
    """Fill one etcd, then back it up in both ways in turn."""
    group.start_all()
    await group.until_healthy(within=60)
    await fill(group, keys, value_bytes)
    async with group.client(group.names[0]) as client:
        size_mb = (await client.status()).db_size_bytes / 1e6
    answers: list[float] = []
    saves: list[float] = []
    compressed: list[float] = []
    for _ in range(runs):
        answers.append(await seconds_of(run(group, "backup-now", "main", "--label", "benchmark")))
        saves.append(await seconds_of(save(group)))
        compressed.append(saves[-1] + await seconds_of(compress(group)))
    taken = [manifest for backup in group.backups.list() if (manifest := group.backups.manifest(backup.text)) is not None]
    of_request = [manifest for manifest in taken if manifest.label == "benchmark"]
    if any(manifest.keys != keys + 1 or not manifest.verified for manifest in of_request):
        raise SystemExit("a backup is not what was written, or not verified")
    backup = min(manifest.took_seconds for manifest in of_request)
    return Figures(
        keys=keys,
        db_mb=round(size_mb, 1),
        stored_mb=round(of_request[-1].gz_size_bytes / 1e6, 1),
        enter_to_answer=round(min(answers), 2),
        backup=round(backup, 2),
        backup_mb_per_second=round(size_mb / backup),
        snapshot_save=round(min(saves), 2),
        snapshot_save_mb_per_second=round(size_mb / min(saves)),
        snapshot_save_and_gzip=round(min(compressed), 2),
        load=round(load, 1),
    )


async def seconds_of(work: Awaitable[None]) -> float:
    """Return how long it takes."""
    began = time.monotonic()
    await work
    return time.monotonic() - began


async def save(group: ManagerGroup) -> None:
    """Run `etcdctl snapshot save` on the same etcd."""
    authority = load_authority(LocalHost(), str(group.directory / f"pki-{group.names[0]}"), CLIENTS_CA)
    pair = client_pair(authority, "bench", now=datetime.now(UTC), lifetime=timedelta(days=1))
    files = {"ca.crt": authority.bundle, "me.crt": pair.certificate_pem, "me.key": pair.key.reveal()}
    for name, content in files.items():
        (group.directory / name).write_bytes(content)
    snapshot(group).unlink(missing_ok=True)
    await command(
        str(etcd_binaries("3.5.16") / "etcdctl"),
        f"--endpoints=https://{group.address(group.names[0])}:{group.client_port}",
        f"--cacert={group.directory}/ca.crt",
        f"--cert={group.directory}/me.crt",
        f"--key={group.directory}/me.key",
        "snapshot",
        "save",
        str(snapshot(group)),
    )


async def compress(group: ManagerGroup) -> None:
    """Make the saved snapshot as small as a backup is."""
    await command("gzip", "-1", "--force", "--keep", str(snapshot(group)))


async def command(*argv: str) -> None:
    """Run a program; end here where it fails."""
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{argv[0]} ended with {done.returncode}: {done.stderr[-1000:]}")


def snapshot(group: ManagerGroup) -> Path:
    """Return where `etcdctl` saves to."""
    return group.directory / "snapshot.db"


if __name__ == "__main__":
    sys.exit(main())
