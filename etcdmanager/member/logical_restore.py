"""What a Go leader asks of one member in a restore: copy a backup's keys into its running, empty, fenced etcd.

    backup --restored into a scratch etcd--> leases, then keys, in transactions --> our etcd --> counted and hashed on both sides

Revisions begin anew and the history is lost: there is no other way into a cluster that another program has formed (reference, section
7.5). Unlike Go's copy it is by transactions, keeps leases with their ids, and is compared at the end.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from agents.errors import RefusedError, VerificationError
from etcdmanager.backups.scratch import scratch_etcd
from etcdmanager.backups.store import BackupStore
from etcdmanager.backups.workshop import restore_here
from etcdmanager.etcd.answers import KeyValue
from etcdmanager.etcd.client import EtcdClient

log = logging.getLogger(__name__)

#: etcd's defaults: 128 operations in a transaction (--max-txn-ops), 1.5 MiB in a request (--max-request-bytes).
_MOST_KEYS = 128
_MOST_BYTES = 1 << 20
_WRITE = timedelta(seconds=30)


async def copy_backup(backups: BackupStore, backup: str, target: EtcdClient, *, room: Path, directories: Sequence[str]) -> int:
    """Copy all keys and leases of a backup into `target` and return how many keys that were.

    Errors: RefusedError where `target` holds keys already: they would be mixed (register B-06); NotFoundError, VerificationError and
    RefusedError about the backup, raised before anything is written; VerificationError where the copy is not what the backup is.
    """
    held = await target.count()
    if held:
        raise RefusedError(f"etcd holds {held} keys already; {backup} would be mixed with them", code="logical-restore-not-empty")
    await asyncio.to_thread(room.mkdir, mode=0o700, parents=True, exist_ok=True)
    work = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="copy-", dir=room))
    try:
        meta = await asyncio.to_thread(backups.meta, backup)
        restored = await restore_here(backups, backup, written_by=meta.etcd_version, room=work, directories=directories)
        async with scratch_etcd(restored.data_dir, etcd=restored.etcd, name=restored.name) as source:
            leases = await _copy_leases(source, target)
            keys = await _copy_keys(source, target, leases)
            await _compare(source, target, backup)
    finally:
        await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
    log.info("copied %d keys and %d leases of %s", keys, len(leases), backup)
    return keys


async def _copy_leases(source: EtcdClient, target: EtcdClient) -> frozenset[int]:
    """Grant what is left of every lease, under its own id; return the ids."""
    copied = set()
    for lease_id in await source.leases():
        lease = await source.lease(lease_id)
        if lease.ttl_seconds > 0:
            await target.grant(lease.ttl_seconds, lease_id=lease_id)
            copied.add(lease_id)
    return frozenset(copied)


async def _copy_keys(source: EtcdClient, target: EtcdClient, leases: frozenset[int]) -> int:
    copied = 0
    async for page in source.pages():
        # A lease that ended while we copied takes its keys with it.
        kept = [kv for kv in page.keys if not kv.lease_id or kv.lease_id in leases]
        for batch in batches(kept):
            await target.write_together(batch, (), deadline=_WRITE)
            copied += len(batch)
    return copied


def batches(keys: Sequence[KeyValue]) -> list[list[KeyValue]]:
    """Return the keys in order, cut so that each piece fits into one transaction. Pure."""
    found: list[list[KeyValue]] = []
    room = 0
    for kv in keys:
        size = len(kv.key) + len(kv.value)
        if not found or len(found[-1]) >= _MOST_KEYS or size > room:
            found.append([])
            room = _MOST_BYTES
        found[-1].append(kv)
        room -= size
    return found


async def _compare(source: EtcdClient, target: EtcdClient, backup: str) -> None:
    wanted, found = await asyncio.gather(_digest(source), _digest(target))
    if wanted != found:
        raise VerificationError(f"the copy of {backup} is {found}, wanted {wanted}", code="restored-differs-from-backup")


async def _digest(etcd: EtcdClient) -> tuple[int, str]:
    """Return how many keys there are, and a hash of all keys, values and leases."""
    digest, count = hashlib.sha256(), 0
    async for page in etcd.pages():
        for kv in page.keys:
            count += 1
            for part in (kv.key, kv.value, kv.lease_id.to_bytes(8, "big", signed=True)):
                digest.update(len(part).to_bytes(4, "big") + part)
    return count, digest.hexdigest()[:16]
