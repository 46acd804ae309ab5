"""Sample backups without an etcd: a tiny database in bbolt's format, written by hand, so that tests of commands run anywhere."""

from __future__ import annotations

import gzip
import hashlib
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agents.stores.local import LocalStore
from etcdmanager.backups.manifest import Check, Manifest
from etcdmanager.backups.store import BackupStore
from tests.fakes.leader import bare_meta

_PAGE_SIZE = 4096
_KEYS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleBackups:
    """Three backups: the oldest and the newest with a manifest, one in between as the Go tools write it."""

    directory: Path
    oldest: str
    bare: str
    newest: str
    keys: int

    def damage(self, name: str) -> None:
        """Cut a backup's data off."""
        path = self.directory / name / "etcd.backup.gz"
        path.write_bytes(path.read_bytes()[:-40])


def sample_backups(directory: Path) -> SampleBackups:
    """Write the three backups into a store in `directory`."""
    sample = SampleBackups(
        directory=directory,
        oldest="2026-01-01T00:00:00Z-000001",
        bare="2026-01-02T00:00:00Z-000002",
        newest="2026-01-03T00:00:00Z-000003",
        keys=_KEYS,
    )
    backups = BackupStore(LocalStore(directory))
    for name in (sample.oldest, sample.newest):
        content = snapshot(_KEYS)
        backups.write_snapshot(name, content)
        backups.commit(name, bare_meta(), manifest(content))
    backups.write_snapshot(sample.bare, snapshot(_KEYS - 1))
    backups.store.write(f"{sample.bare}/_etcd_backup.meta", b'{"etcdVersion":"3.5.16","timestamp":"1767312000"}')
    return sample


def manifest(content: bytes) -> Manifest:
    """Return the manifest of a compressed snapshot of _KEYS keys."""
    database = gzip.decompress(content)[:-32]
    return Manifest(
        cluster="prod.example.com",
        etcd_cluster="etcd",
        taken_at=datetime(2026, 1, 1, tzinfo=UTC),
        reason="schedule",
        label="",
        server_version="3.5.16",
        cluster_id=1,
        member_id=2,
        members=(),
        raft_term=1,
        raft_index=1,
        gz_size_bytes=len(content),
        gz_sha256=hashlib.sha256(content).hexdigest(),
        db_size_bytes=len(database),
        db_sha256=hashlib.sha256(database).hexdigest(),
        revision=1 + _KEYS,
        compacted_revision=0,
        keys=_KEYS,
        versions=_KEYS,
        leases=0,
        hash_kv=0,
        hash_compact_revision=0,
        took_seconds=0.1,
        checks=(Check(checked_at=datetime(2026, 1, 1, tzinfo=UTC), kind="capture", by="test"),),
    )


def snapshot(keys: int) -> bytes:
    """Return a compressed snapshot with so many keys, one revision each."""
    database = bolt_database(keys)
    return gzip.compress(database + hashlib.sha256(database).digest(), mtime=0)


def bolt_database(keys: int) -> bytes:
    """Return a database of four pages: two metas, the root with one bucket, and that bucket's leaf."""
    pairs = []
    for number in range(keys):
        key = b"key%d" % number
        pairs.append((0, struct.pack(">QcQ", number + 2, b"_", 0), b"\x0a" + bytes([len(key)]) + key))
    bucket = _leaf(3, pairs)
    root = _leaf(2, [(1, b"key", struct.pack("<QQ", 3, 0))])
    return _meta(0, 1) + _meta(1, 2) + root + bucket


def _leaf(page: int, pairs: list[tuple[int, bytes, bytes]]) -> bytes:
    elements, content = b"", b""
    for index, (flags, key, value) in enumerate(pairs):
        position = (len(pairs) - index) * 16 + len(content)
        elements += struct.pack("<IIII", flags, position, len(key), len(value))
        content += key + value
    whole = struct.pack("<QHHI", page, 2, len(pairs), 0) + elements + content
    assert len(whole) <= _PAGE_SIZE
    return whole.ljust(_PAGE_SIZE, b"\0")


def _meta(page: int, transaction: int) -> bytes:
    body = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, _PAGE_SIZE, 0, 2, 0, 0, 4, transaction)
    digest = 0xCBF29CE484222325
    for byte in body:
        digest = ((digest ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return (struct.pack("<QHHI", page, 4, 0, 0) + body + struct.pack("<Q", digest)).ljust(_PAGE_SIZE, b"\0")
