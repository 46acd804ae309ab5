"""A restore exercise: a backup restored into an etcd that nobody else reaches, asked for what a cluster would be asked for, and compared.

Deeper than `verify --deep`: keys are counted by resource, as the backup's etcd and the living cluster serve them at the same revision.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agents.errors import NotFoundError, TransientError
from etcdmanager.backups.key_summary import grouped
from etcdmanager.backups.scratch import scratch_etcd
from etcdmanager.backups.store import BackupStore
from etcdmanager.backups.verify import Booted, Verified, ask, compare_booted
from etcdmanager.backups.workshop import restore_here

if TYPE_CHECKING:
    from etcdmanager.etcd.client import EtcdClient

#: /registry/<resource>/ of Kubernetes.
_DEPTH = 2
_PAGE = 10_000
_STATUS = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercised:
    """What the backup's etcd served."""

    booted: Booted
    #: Keys by the first two parts of their names.
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Living:
    """What the living cluster serves: at the backup's revision where it still has that, else now."""

    cluster_id: int
    #: 0: now.
    at_revision: int
    counts: Mapping[str, int]


async def exercise(backups: BackupStore, verified: Verified, *, scratch: Path, directories: Sequence[str]) -> Exercised:
    """Restore and ask; VerificationError where the backup is not what it should be, and the errors of `restore_here`."""
    with tempfile.TemporaryDirectory(prefix="drill-", dir=scratch) as room:
        restored = await restore_here(backups, verified.name, written_by=verified.server_version, room=Path(room), directories=directories)
        async with scratch_etcd(restored.data_dir, etcd=restored.etcd, name=restored.name) as client:
            booted = await ask(client)
            counts = await counts_by_resource(client)
    compare_booted(verified, booted)
    return Exercised(booted=booted, counts=counts)


async def look_at_living(client: EtcdClient, revision: int) -> Living:
    """Return the living cluster's counts at `revision`, where it was not compacted away (Kubernetes keeps five minutes), else now."""
    status = await client.status(deadline=_STATUS)
    try:
        counts = await counts_by_resource(client, revision=revision)
    except (NotFoundError, TransientError):
        return Living(cluster_id=status.cluster_id, at_revision=0, counts=await counts_by_resource(client))
    return Living(cluster_id=status.cluster_id, at_revision=revision, counts=counts)


async def counts_by_resource(client: EtcdClient, *, revision: int = 0) -> dict[str, int]:
    """Return how many keys begin with the same two parts; all of one revision, and no values are read."""
    found: Counter[str] = Counter()
    start, at = b"\0", revision
    while True:
        page = await client.page(start, revision=at, limit=_PAGE, keys_only=True)
        for group in grouped({key.key: 0 for key in page.keys}, b"", depth=_DEPTH):
            found[group.prefix.decode(errors="backslashreplace")] += group.keys
        if not page.more:
            return dict(sorted(found.items()))
        start, at = page.keys[-1].key + b"\0", page.revision


def differences(exercised: Exercised, living: Living) -> tuple[tuple[str, int, int], ...]:
    """Return (prefix, in the backup, living) where they are not the same; pure."""
    names = sorted(exercised.counts.keys() | living.counts.keys())
    rows = ((name, exercised.counts.get(name, 0), living.counts.get(name, 0)) for name in names)
    return tuple(row for row in rows if row[1] != row[2])


def contradiction(verified: Verified, exercised: Exercised, living: Living | None) -> str:
    """Return why the backup is not what the living cluster had, "" where nothing says so; pure.

    Only counts of the very same cluster at the very same revision prove anything: any others may differ.
    """
    manifest = verified.manifest
    if living is None or manifest is None or not living.at_revision or living.cluster_id != manifest.cluster_id:
        return ""
    found = differences(exercised, living)
    text = ", ".join(f"{name} {backup} instead of {alive}" for name, backup, alive in found[:5])
    return f"at revision {living.at_revision} the living cluster has other keys than the backup: {text}" if found else ""
