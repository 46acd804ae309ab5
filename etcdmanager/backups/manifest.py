"""`_etcd_backup.ext.json`: everything that we know of a backup beyond what the Go tools do; pure.

It lies beside the metadata, is ignored by Go, and goes with the backup. A backup without it (Go's, a third party's) is
as good as any: it is merely not verified yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from agents.errors import SpecError
from etcdmanager.protojson import Fields, int64, parse_object, render_object, time_text

MANIFEST = "_etcd_backup.ext.json"
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestMember:
    """A member of the cluster when the backup was taken."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    is_learner: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """That a backup was verified: when, how deeply, and by whom."""

    checked_at: datetime
    #: "capture" (while it was taken), "light" (read back from the store), "deep" (restored and booted) or "drill" (an exercise).
    kind: str
    by: str = ""
    #: Why it is *not* good; "" for all checks but a drill that failed.
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A backup's figures. Zero and "" mean that it was not known."""

    #: Kubernetes cluster (kops' name), where the taker knew it.
    cluster: str
    #: The etcd cluster's name in the manager ("etcd", "etcd-events").
    etcd_cluster: str
    taken_at: datetime
    #: Why: schedule, request, pre-restore, pre-upgrade, membership.
    reason: str
    label: str
    #: The version that really ran.
    server_version: str
    cluster_id: int
    member_id: int
    members: tuple[ManifestMember, ...]
    raft_term: int
    raft_index: int
    gz_size_bytes: int
    gz_sha256: str
    db_size_bytes: int
    db_sha256: str
    revision: int
    compacted_revision: int
    keys: int
    versions: int
    leases: int
    #: etcd's own HashKV at `revision` with `hash_compact_revision`, where it could still be asked; else 0.
    hash_kv: int
    hash_compact_revision: int
    took_seconds: float
    #: The id of the key that the snapshot is encrypted with; "" where it is not. SHA-256 and size of the gzip are of what is stored.
    encryption_key: str = ""
    checks: tuple[Check, ...]

    @property
    def verified(self) -> bool:
        """Whether it was proven good at least once, and no later exercise failed with it."""
        newest = max(self.checks, key=lambda check: check.checked_at, default=None)
        return newest is not None and not newest.problem

    def with_check(self, check: Check) -> Manifest:
        """Return the manifest with `check` in place of an earlier one of its kind."""
        others = tuple(other for other in self.checks if other.kind != check.kind)
        return replace(self, checks=(*others, check))


def parse_manifest(content: bytes, *, where: str) -> Manifest:
    """Return the manifest; SpecError for what is none. Fields of newer writers are ignored."""
    fields = parse_object(content, where=where)
    taken_at = fields.time("takenAt")
    if taken_at is None:
        raise SpecError(f"{where} names no takenAt")
    return Manifest(
        cluster=fields.text("cluster"),
        etcd_cluster=fields.text("etcdCluster"),
        taken_at=taken_at,
        reason=fields.text("reason"),
        label=fields.text("label"),
        server_version=fields.text("serverVersion"),
        cluster_id=fields.integer("clusterId"),
        member_id=fields.integer("memberId"),
        members=tuple(_member(member) for member in fields.mappings("members")),
        raft_term=fields.integer("raftTerm"),
        raft_index=fields.integer("raftIndex"),
        gz_size_bytes=fields.integer("gzSizeBytes"),
        gz_sha256=fields.text("gzSha256"),
        db_size_bytes=fields.integer("dbSizeBytes"),
        db_sha256=fields.text("dbSha256"),
        revision=fields.integer("revision"),
        compacted_revision=fields.integer("compactedRevision"),
        keys=fields.integer("keys"),
        versions=fields.integer("versions"),
        leases=fields.integer("leases"),
        hash_kv=fields.integer("hashKv"),
        hash_compact_revision=fields.integer("hashCompactRevision"),
        took_seconds=fields.number("tookSeconds"),
        encryption_key=fields.text("encryptionKey"),
        checks=tuple(_check(check) for check in fields.mappings("checks")),
    )


def render_manifest(manifest: Manifest) -> bytes:
    """Return the document."""
    return render_object(
        [
            ("version", _VERSION),
            ("cluster", manifest.cluster),
            ("etcdCluster", manifest.etcd_cluster),
            ("takenAt", time_text(manifest.taken_at)),
            ("reason", manifest.reason),
            ("label", manifest.label),
            ("serverVersion", manifest.server_version),
            ("clusterId", int64(manifest.cluster_id)),
            ("memberId", int64(manifest.member_id)),
            ("members", [_member_document(member) for member in manifest.members]),
            ("raftTerm", int64(manifest.raft_term)),
            ("raftIndex", int64(manifest.raft_index)),
            ("gzSizeBytes", manifest.gz_size_bytes),
            ("gzSha256", manifest.gz_sha256),
            ("dbSizeBytes", manifest.db_size_bytes),
            ("dbSha256", manifest.db_sha256),
            ("revision", int64(manifest.revision)),
            ("compactedRevision", int64(manifest.compacted_revision)),
            ("keys", manifest.keys),
            ("versions", manifest.versions),
            ("leases", manifest.leases),
            ("hashKv", manifest.hash_kv),
            ("hashCompactRevision", int64(manifest.hash_compact_revision)),
            ("tookSeconds", round(manifest.took_seconds, 3)),
            *([("encryptionKey", manifest.encryption_key)] if manifest.encryption_key else []),
            ("checks", [_check_document(check) for check in manifest.checks]),
        ]
    )


def _member(fields: Fields) -> ManifestMember:
    return ManifestMember(
        id=fields.integer("id"), name=fields.text("name"), peer_urls=fields.texts("peerUrls"), is_learner=fields.flag("isLearner")
    )


def _member_document(member: ManifestMember) -> dict[str, object]:
    return {"id": int64(member.id), "name": member.name, "peerUrls": list(member.peer_urls), "isLearner": member.is_learner}


def _check(fields: Fields) -> Check:
    checked_at = fields.time("checkedAt")
    if checked_at is None:
        raise SpecError(f"{fields.where} names no checkedAt")
    return Check(checked_at=checked_at, kind=fields.text("kind"), by=fields.text("by"), problem=fields.text("problem"))


def _check_document(check: Check) -> dict[str, object]:
    document: dict[str, object] = {"checkedAt": time_text(check.checked_at), "kind": check.kind, "by": check.by}
    return document | ({"problem": check.problem} if check.problem else {})
