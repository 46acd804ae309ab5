#!/usr/bin/env python3
"""From Enter to the first successful write: restoring 200,000 keys / 400 MB on three loopback members, over TLS.

    benchmarks/restore.py [--keys 200000] [--value-bytes 1850] [--members 3] [--json]

It fills a real cluster, has a backup taken, spoils the data, runs `etcd-manager restore-backup main latest` as an operator's script
would, and writes all the while as a client would. The first write at a raised revision is the end. Then every key is compared.

Then the same snapshot is restored bare (`bare_restore.py`), for as many members on the same machine, to compare with.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agents.errors import AgentError
from benchmarks.bare_restore import Bare, bare_restore
from etcdmanager.control.commands import Receipt
from tests.support.managers import ManagerGroup, manager_group

#: By so much a restore raises the revision.
RAISED = 1_000_000_000
TARGET_SECONDS = 20.0
#: What objects are mostly made of.
WORDS = [
    f'"{section}":{{"apiVersion":"apps/v1","name":"{name}","namespace":"kube-system","uid":"'.encode()
    for section in ("metadata", "spec", "status", "template", "selector", "managedFields", "ownerReferences")
    for name in ("coredns", "kube-proxy", "kindnet", "metrics-server", "aws-node", "ebs-csi", "dns-controller", "kops-controller")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured, in seconds unless named otherwise."""

    keys: int
    db_mb: float
    members: int
    fill: float
    backup: float
    command: float
    enter_to_first_write: float
    #: Between the last write of the old cluster and the first of the new one.
    outage: float
    compare: float
    #: `etcdutl snapshot restore` for all members, and their boot to the first write.
    bare_restore: float
    bare_boot: float
    #: How many times as long as that Enter to the first write took.
    times_bare: float
    load: float
    took: dict[str, float]


def main() -> int:
    """Run; 0 if the target holds and every key is as it was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=200_000)
    parser.add_argument("--value-bytes", type=int, default=1850)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    room = tempfile.TemporaryDirectory(prefix="restore-", dir=os.environ.get("BENCH_DIR"))
    with room as directory, manager_group(Path(directory), options.members) as group:
        figures = asyncio.run(measure(group, options.keys, options.value_bytes))
    print(json.dumps(asdict(figures)) if options.json else text(figures))
    return 0 if figures.enter_to_first_write < TARGET_SECONDS else 1


def text(figures: Figures) -> str:
    """Return the figures for people."""
    lines = [f"{name.replace('_', ' '):<22} {value}" for name, value in asdict(figures).items() if name != "took"]
    lines += [f"  {phase:<20} {seconds:.2f}" for phase, seconds in figures.took.items()]
    return "\n".join(lines)


async def measure(group: ManagerGroup, keys: int, value_bytes: int) -> Figures:
    """Fill, back up, spoil, restore, compare."""
    group.start_all()
    await group.until_healthy(within=60)
    began = time.monotonic()
    digest = await fill(group, keys, value_bytes)
    filled = time.monotonic()
    await run(group, "backup-now", "main", "--label", "benchmark")
    backed_up = time.monotonic()
    async with group.client(group.names[0]) as client:
        size = (await client.status()).db_size_bytes
        await client.delete(b"key/0000", range_end=b"key/0001", deadline=timedelta(seconds=20))
        await client.put(b"spoiled", b"yes")
    load = os.getloadavg()[0]
    enter = time.monotonic()
    writer = asyncio.create_task(write_until_raised(group))
    words = ["restore-backup", "main", "latest", "--yes", "--cluster", "store", "--name", "store", "--discard-newer"]
    await run(group, *words)
    done = time.monotonic()
    last_old, first_new = await asyncio.wait_for(writer, 60)
    compare_began = time.monotonic()
    found = await content_digest(group)
    if found != digest:
        raise SystemExit("the restored keys are not those of the backup")
    compared = time.monotonic()
    receipt = newest_receipt(group)
    bare = await restore_bare(group, receipt.backup)
    return Figures(
        keys=keys,
        db_mb=round(size / 1e6, 1),
        members=len(group.names),
        fill=round(filled - began, 2),
        backup=round(backed_up - filled, 2),
        command=round(done - enter, 2),
        enter_to_first_write=round(first_new - enter, 2),
        outage=round(first_new - last_old, 2),
        compare=round(compared - compare_began, 2),
        bare_restore=round(bare.restore, 2),
        bare_boot=round(bare.boot, 2),
        times_bare=round((first_new - enter) / bare.total, 2),
        load=round(load, 1),
        took={phase: round(seconds, 2) for phase, seconds in receipt.took.items()},
    )


async def restore_bare(group: ManagerGroup, backup: str) -> Bare:
    """Restore the same snapshot by hand, with nothing else running."""
    group.stop_all()
    snapshot = group.directory / "snapshot.db"
    packed = group.directory / "store/backups/etcd/main" / backup / "etcd.backup.gz"
    with gzip.open(packed) as file, snapshot.open("wb") as plain:
        shutil.copyfileobj(file, plain, 1 << 20)
    with tempfile.TemporaryDirectory(prefix="bare-", dir=group.directory) as room:
        return await bare_restore(snapshot, Path(room), members=len(group.names), version="3.5.16")


async def fill(group: ManagerGroup, keys: int, value_bytes: int) -> str:
    """Write the keys in transactions of 100, a few at a time; return the digest of all."""
    chance = random.Random(7)  # noqa: S311  the same keys in each run
    digest = hashlib.sha256()
    async with group.client(group.leader() or group.names[0]) as client:
        lease = await client.grant(86400)
        await client.put(b"a-leased-key", b"1", lease_id=lease)
        digest.update(b"a-leased-key1")
        running: set[asyncio.Task[int]] = set()
        for start in range(0, keys, 100):
            pairs = [(b"key/%08d" % number, value_like_an_object(chance, value_bytes)) for number in range(start, min(keys, start + 100))]
            for key, value in pairs:
                digest.update(key + value)
            running.add(asyncio.create_task(client.put_many(pairs, deadline=timedelta(seconds=30))))
            if len(running) >= 8:
                finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in finished:
                    task.result()
        await asyncio.gather(*running)
    return digest.hexdigest()


def value_like_an_object(chance: random.Random, size: int) -> bytes:
    """Return a value that compresses like a Kubernetes object: about 9:1, field names and words with identifiers between them."""
    parts: list[bytes] = []
    length = 0
    while length < size:
        part = WORDS[int(chance.random() * len(WORDS))] + chance.randbytes(4).hex().encode()
        parts.append(part)
        length += len(part)
    return b"".join(parts)[:size]


async def content_digest(group: ManagerGroup) -> str:
    """Return the digest of all keys but those that the benchmark wrote beside them."""
    digest = hashlib.sha256()
    async with group.client(group.names[-1]) as client:
        async for page in client.pages(limit=2000):
            for item in page.keys:
                if item.key != b"alive":
                    digest.update(item.key + item.value)
    return digest.hexdigest()


async def write_until_raised(group: ManagerGroup) -> tuple[float, float]:
    """Write without end through every member; return when the last old and the first raised revision were written."""
    writers = [asyncio.create_task(write_through(group, name)) for name in group.names]
    await asyncio.wait(writers, return_when=asyncio.FIRST_COMPLETED)
    finished = [writer.result() for writer in writers if writer.done()]
    for writer in writers:
        writer.cancel()
    return min(finished, key=lambda times: times[1])


async def write_through(group: ManagerGroup, name: str) -> tuple[float, float]:
    """Write through one member until a revision is raised; return when the last old one and the first raised one came."""
    last_old = time.monotonic()
    async with group.client(name) as client:
        while True:
            try:
                revision = await client.put(b"alive", b"yes", deadline=timedelta(milliseconds=500))
            except AgentError:
                await asyncio.sleep(0.02)
                continue
            if revision > RAISED:
                return last_old, time.monotonic()
            last_old = time.monotonic()
            await asyncio.sleep(0.05)


async def run(group: ManagerGroup, *words: str) -> None:
    """Run a command as an operator's script would; end here where it fails."""
    argv = [sys.executable, "-m", "etcdmanager.cli", *words, "--backup-store", group.store_url]
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=False)
    sys.stderr.write(done.stderr + done.stdout)
    if done.returncode:
        raise SystemExit(f"etcd-manager {words[0]} ended with {done.returncode}\n{group.logs()[-6000:]}")


def newest_receipt(group: ManagerGroup) -> Receipt:
    """Return the receipt of the restore."""
    by_time: Callable[[Receipt], float] = lambda receipt: receipt.finished_at.timestamp()  # noqa: E731
    return max(group.control.receipts(), key=by_time)


if __name__ == "__main__":
    sys.exit(main())
