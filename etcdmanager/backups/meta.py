"""`_etcd_backup.meta`: the document that makes a directory a backup, shared with the Go tools; pure.

Go rejects unknown keys in it: it holds three and will never hold more. What else we know of a backup is in the
manifest beside it (`etcdmanager.backups.manifest`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from agents.errors import SpecError, VerificationError
from etcdmanager.protojson import int64, parse_object, render_object
from etcdmanager.spec import ClusterSpec

META = "_etcd_backup.meta"
SNAPSHOT = "etcd.backup.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupMeta:
    """What the Go tools know of a backup."""

    #: The version that the taker believed to run; the manifest has the one that ran.
    etcd_version: str
    #: None where a third party did not write it.
    taken_at: datetime | None
    #: What the cluster was to be like, not what it was; None where a third party did not write it.
    spec: ClusterSpec | None


def parse_meta(content: bytes, *, where: str) -> BackupMeta:
    """Return the metadata; SpecError for what is no such document, VerificationError for one without a version.

    The version decides which etcd opens the backup, so that one without it cannot be restored.
    """
    fields = parse_object(content, where=where)
    version = fields.text("etcdVersion").removeprefix("v")
    if not version:
        raise VerificationError(f"{where} names no etcdVersion: which etcd is to open the backup?", code="backup-no-version")
    seconds = fields.integer("timestamp")
    spec = fields.mapping("clusterSpec")
    return BackupMeta(
        etcd_version=version,
        taken_at=_moment(seconds, where=where) if seconds else None,
        spec=None if spec is None else ClusterSpec(member_count=spec.integer("memberCount"), etcd_version=spec.text("etcdVersion")),
    )


def _moment(seconds: int, *, where: str) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise SpecError(f"{where}: {seconds} is no time that a calendar knows") from error


def render_meta(meta: BackupMeta) -> bytes:
    """Return the document with exactly the keys that Go knows."""
    spec: dict[str, object] | None = None
    if meta.spec is not None:
        spec = {"memberCount": meta.spec.member_count, "etcdVersion": meta.spec.etcd_version}
    seconds = int(meta.taken_at.timestamp()) if meta.taken_at else 0
    return render_object([("etcdVersion", meta.etcd_version), ("timestamp", int64(seconds)), ("clusterSpec", spec)])
