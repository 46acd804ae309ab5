"""The documents of the control store, as values; pure. `etcdmanager.control.store` reads and writes them.

    etcd-cluster-spec                   ClusterSpec        Go's format, and exactly its keys
    etcd-cluster-created                a time             Go's format
    <time>-000000/_command.json         RestoreCommand     Go's format, and exactly its keys
    <time>-000000/_request.json         RestoreRequest     who asked, and why
    <time>-000000/_claim.json           Claim              created once; then changed only by conditional writes
    <time>-000000/_progress.json        Progress           overwritten freely; for people
    <time>-000000/_receipt.json         Receipt            it is done; the command is never executed again
    <time>-000000/_failed.json          Failure            it was given up; nothing was changed
    _formation.json                     Formation          who forms the new cluster
    _leader.json                        LeaderReport       how the cluster is, as its leader sees it
    _requests/<id>.json                 BackupRequest      a backup-now
    _requests/<id>.done.json            BackupAnswer       what became of it

The Go managers ignore every object but the first three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from agents.errors import SpecError
from etcdmanager.protojson import Fields, int64, parse_object, render_object, time_text
from etcdmanager.spec import ClusterSpec

_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreCommand:
    """An operator's wish, in the one form that the Go managers understand too."""

    #: Its directory below control/.
    name: str
    backup: str
    #: The spec that the restored cluster is to have; None where whoever queued it left it out.
    spec: ClusterSpec | None
    queued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """Who asked for a restore, why, and which safety rules were overridden with open eyes."""

    requested_by: str
    requested_at: datetime
    reason: str = ""
    #: S3: discard what was written since, though a healthy quorum has it.
    discard_newer: bool = False
    #: S8: restore another cluster's backup.
    clone: bool = False
    #: The peers that are gone for good, as whoever asks says: they are not waited for, though together they could serve the old data.
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Which leader carries a restore out, and how far it is. What is None has not happened."""

    command: str
    backup: str
    #: Peer id of the leader that holds it, and the epoch of its lock.
    holder: str
    epoch: int
    #: The new incarnation's cluster token, decided once.
    token: str
    #: Peer ids that will be members, sorted.
    members: tuple[str, ...]
    claimed_at: datetime
    #: What is added to the revision, decided once: all members must restore the same data. 0 in claims of old versions.
    bump: int = 0
    saved_at: datetime | None = None
    #: "" where there was no quorum to save from.
    pre_restore_backup: str = ""
    committing_at: datetime | None = None
    verified_at: datetime | None = None
    revision: int = 0
    keys: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberProgress:
    """What one member is at. `done` and `total` are bytes; 0 where nobody knows."""

    step: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a restore is, for whoever watches. It decides nothing."""

    #: One of PHASES.
    phase: str
    updated_at: datetime
    #: 0 to 1 over the whole restore; never falls while a restore goes forward.
    fraction: float = 0.0
    message: str = ""
    members: Mapping[str, MemberProgress] = field(default_factory=lambda: MappingProxyType({}))
    #: Seconds that each finished phase took.
    took: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


#: The phases of a restore in their order, with what each does.
PHASES: Mapping[str, str] = MappingProxyType(
    {
        "queued": "wait for the leader to take it on",
        "prepare": "download, verify and unpack on every member; the old cluster serves",
        "save": "back the old cluster up once more",
        "fence": "move the old cluster out of its clients' reach",
        "commit": "swap the data directories and start etcd",
        "verify": "compare hashes, key count and revision of all members",
        "open": "let clients in again",
        "done": "finished",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """That a restore was carried out. Its existence makes the command unrepeatable."""

    command: str
    backup: str
    finished_at: datetime
    members: tuple[str, ...]
    revision: int
    keys: int
    #: What undoes it: the backup taken just before; "" where there was no quorum to take it from.
    pre_restore_backup: str = ""
    #: Whether the revision was bumped and marked compacted, so that watchers notice by themselves.
    bumped: bool = False
    reason: str = ""
    took: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """That a restore was given up before its point of no return."""

    command: str
    backup: str
    failed_at: datetime
    code: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Formation:
    """The decision to form a new cluster, written before the first member is told."""

    token: str
    members: tuple[str, ...]
    spec: ClusterSpec
    epoch: int
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderReport:
    """How the cluster is, as its leader saw it last; for commands that are run where no member can be reached."""

    reported_at: datetime
    #: Peer id of the leader, and the epoch of its lock.
    leader: str
    epoch: int
    #: Whether enough members serve for the cluster to accept writes.
    has_quorum: bool
    #: The highest revision of a serving member; 0 where none serves.
    revision: int
    etcd_version: str
    #: Names of the members that serve, and of all.
    healthy: tuple[str, ...]
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRequest:
    """An operator's backup-now."""

    id: str
    requested_by: str
    requested_at: datetime
    label: str = ""
    #: Whether retention must leave the backup alone until someone unpins it.
    keep: bool = False
    #: The member that it is to be of, quorum or not; "" is any, and then there must be a quorum.
    member: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupAnswer:
    """What became of a backup-now: the backup's name, or else the error's code and text."""

    id: str
    answered_at: datetime
    backup: str = ""
    code: str = ""
    error: str = ""


# --- reading; SpecError for what is no such document ---------------------------------------------------------------


def parse_spec(content: bytes, *, where: str) -> ClusterSpec:
    """Return a cluster spec."""
    return _spec(parse_object(content, where=where))


def parse_command(content: bytes, *, name: str, where: str) -> RestoreCommand:
    """Return a queued restore; SpecError for any other kind of command, of which there is none today."""
    fields = parse_object(content, where=where)
    restore = fields.mapping("restoreBackup")
    if restore is None or not restore.text("backup"):
        raise SpecError(f"{where} is no restore-backup command, and no other kind is known", hint="etcd-manager-ctl list-commands")
    spec = restore.mapping("clusterSpec")
    return RestoreCommand(
        name=name,
        backup=restore.text("backup"),
        spec=None if spec is None else _spec(spec),
        queued_at=datetime.fromtimestamp(fields.integer("timestamp") / _NANOSECONDS, UTC),
    )


def parse_request(content: bytes, *, where: str) -> RestoreRequest:
    """Return who asked for a restore."""
    fields = parse_object(content, where=where)
    return RestoreRequest(
        requested_by=fields.text("requestedBy"),
        requested_at=_time(fields, "requestedAt"),
        reason=fields.text("reason"),
        discard_newer=fields.flag("discardNewer"),
        clone=fields.flag("clone"),
        gone=fields.texts("gone"),
    )


def parse_claim(content: bytes, *, where: str) -> Claim:
    """Return a claim."""
    fields = parse_object(content, where=where)
    return Claim(
        command=fields.text("command"),
        backup=fields.text("backup"),
        holder=fields.text("holder"),
        epoch=fields.integer("epoch"),
        token=fields.text("token"),
        members=fields.texts("members"),
        claimed_at=_time(fields, "claimedAt"),
        bump=fields.integer("bump"),
        saved_at=fields.time("savedAt"),
        pre_restore_backup=fields.text("preRestoreBackup"),
        committing_at=fields.time("committingAt"),
        verified_at=fields.time("verifiedAt"),
        revision=fields.integer("revision"),
        keys=fields.integer("keys"),
    )


def parse_progress(content: bytes, *, where: str) -> Progress:
    """Return a progress report."""
    fields = parse_object(content, where=where)
    members = fields.mapping("members")
    reports: dict[str, MemberProgress] = {}
    for name in members.values if members else ():
        report = members.mapping(name) if members else None
        if report is not None:
            reports[name] = MemberProgress(step=report.text("step"), done=report.integer("done"), total=report.integer("total"))
    return Progress(
        phase=fields.text("phase"),
        updated_at=_time(fields, "updatedAt"),
        fraction=fields.number("fraction"),
        message=fields.text("message"),
        members=MappingProxyType(reports),
        took=_seconds(fields),
    )


def parse_receipt(content: bytes, *, where: str) -> Receipt:
    """Return a receipt."""
    fields = parse_object(content, where=where)
    return Receipt(
        command=fields.text("command"),
        backup=fields.text("backup"),
        finished_at=_time(fields, "finishedAt"),
        members=fields.texts("members"),
        revision=fields.integer("revision"),
        keys=fields.integer("keys"),
        pre_restore_backup=fields.text("preRestoreBackup"),
        bumped=fields.flag("bumped"),
        reason=fields.text("reason"),
        took=_seconds(fields),
    )


def parse_failure(content: bytes, *, where: str) -> Failure:
    """Return the record of a restore that was given up."""
    fields = parse_object(content, where=where)
    return Failure(
        command=fields.text("command"),
        backup=fields.text("backup"),
        failed_at=_time(fields, "failedAt"),
        code=fields.text("code"),
        reason=fields.text("reason"),
        hint=fields.text("hint"),
    )


def parse_formation(content: bytes, *, where: str) -> Formation:
    """Return the decision to form a cluster."""
    fields = parse_object(content, where=where)
    spec = fields.mapping("spec")
    if spec is None:
        raise SpecError(f"{where} names no spec")
    return Formation(
        token=fields.text("token"),
        members=fields.texts("members"),
        spec=_spec(spec),
        epoch=fields.integer("epoch"),
        decided_at=_time(fields, "decidedAt"),
    )


def parse_leader_report(content: bytes, *, where: str) -> LeaderReport:
    """Return how the leader saw the cluster."""
    fields = parse_object(content, where=where)
    return LeaderReport(
        reported_at=_time(fields, "reportedAt"),
        leader=fields.text("leader"),
        epoch=fields.integer("epoch"),
        has_quorum=fields.flag("hasQuorum"),
        revision=fields.integer("revision"),
        etcd_version=fields.text("etcdVersion"),
        healthy=fields.texts("healthy"),
        members=fields.texts("members"),
    )


def parse_backup_request(content: bytes, *, where: str) -> BackupRequest:
    """Return a backup-now."""
    fields = parse_object(content, where=where)
    return BackupRequest(
        id=fields.text("id"),
        requested_by=fields.text("requestedBy"),
        requested_at=_time(fields, "requestedAt"),
        label=fields.text("label"),
        keep=fields.flag("keep"),
        member=fields.text("member"),
    )


def parse_backup_answer(content: bytes, *, where: str) -> BackupAnswer:
    """Return what became of a backup-now."""
    fields = parse_object(content, where=where)
    return BackupAnswer(
        id=fields.text("id"),
        answered_at=_time(fields, "answeredAt"),
        backup=fields.text("backup"),
        code=fields.text("code"),
        error=fields.text("error"),
    )


# --- writing -------------------------------------------------------------------------------------------------------


def render_spec(spec: ClusterSpec) -> bytes:
    """Return the spec with exactly the keys that Go knows."""
    return render_object([("memberCount", spec.member_count), ("etcdVersion", spec.etcd_version)])


def render_marker(created_at: datetime) -> bytes:
    """Return the created-marker: Go's plain JSON, the time a *number* of nanoseconds."""
    return render_object([("timestamp", nanoseconds(created_at))])


def render_command(command: RestoreCommand) -> bytes:
    """Return the command with exactly the keys that Go knows; Go requires the spec, so we never write one without."""
    if command.spec is None:
        raise SpecError(f"the command to restore {command.backup} names no cluster spec, and a Go manager would fail on it")
    spec = {"memberCount": command.spec.member_count, "etcdVersion": command.spec.etcd_version}
    return render_object(
        [
            ("timestamp", int64(nanoseconds(command.queued_at))),
            ("restoreBackup", {"clusterSpec": spec, "backup": command.backup}),
        ]
    )


def render_request(request: RestoreRequest) -> bytes:
    """Return the document of who asked for a restore."""
    return render_object(
        [
            ("requestedBy", request.requested_by),
            ("requestedAt", time_text(request.requested_at)),
            ("reason", request.reason),
            ("discardNewer", request.discard_newer),
            ("clone", request.clone),
            ("gone", list(request.gone)),
        ]
    )


def render_claim(claim: Claim) -> bytes:
    """Return the claim's document."""
    return render_object(
        [
            ("command", claim.command),
            ("backup", claim.backup),
            ("holder", claim.holder),
            ("epoch", claim.epoch),
            ("token", claim.token),
            ("members", list(claim.members)),
            ("claimedAt", time_text(claim.claimed_at)),
            ("bump", int64(claim.bump)),
            ("savedAt", time_text(claim.saved_at)),
            ("preRestoreBackup", claim.pre_restore_backup),
            ("committingAt", time_text(claim.committing_at)),
            ("verifiedAt", time_text(claim.verified_at)),
            ("revision", int64(claim.revision)),
            ("keys", claim.keys),
        ]
    )


def render_progress(progress: Progress) -> bytes:
    """Return the progress report's document."""
    members = {name: {"step": m.step, "done": m.done, "total": m.total} for name, m in sorted(progress.members.items())}
    return render_object(
        [
            ("phase", progress.phase),
            ("updatedAt", time_text(progress.updated_at)),
            ("fraction", round(progress.fraction, 4)),
            ("message", progress.message),
            ("members", members),
            ("took", _rounded(progress.took)),
        ]
    )


def render_receipt(receipt: Receipt) -> bytes:
    """Return the receipt's document."""
    return render_object(
        [
            ("command", receipt.command),
            ("backup", receipt.backup),
            ("finishedAt", time_text(receipt.finished_at)),
            ("members", list(receipt.members)),
            ("revision", int64(receipt.revision)),
            ("keys", receipt.keys),
            ("preRestoreBackup", receipt.pre_restore_backup),
            ("bumped", receipt.bumped),
            ("reason", receipt.reason),
            ("took", _rounded(receipt.took)),
        ]
    )


def render_failure(failure: Failure) -> bytes:
    """Return the failure's document."""
    return render_object(
        [
            ("command", failure.command),
            ("backup", failure.backup),
            ("failedAt", time_text(failure.failed_at)),
            ("code", failure.code),
            ("reason", failure.reason),
            ("hint", failure.hint),
        ]
    )


def render_formation(formation: Formation) -> bytes:
    """Return the formation's document."""
    spec = {"memberCount": formation.spec.member_count, "etcdVersion": formation.spec.etcd_version}
    return render_object(
        [
            ("token", formation.token),
            ("members", list(formation.members)),
            ("spec", spec),
            ("epoch", formation.epoch),
            ("decidedAt", time_text(formation.decided_at)),
        ]
    )


def render_leader_report(report: LeaderReport) -> bytes:
    """Return the report's document."""
    return render_object(
        [
            ("reportedAt", time_text(report.reported_at)),
            ("leader", report.leader),
            ("epoch", report.epoch),
            ("hasQuorum", report.has_quorum),
            ("revision", int64(report.revision)),
            ("etcdVersion", report.etcd_version),
            ("healthy", list(report.healthy)),
            ("members", list(report.members)),
        ]
    )


def render_backup_request(request: BackupRequest) -> bytes:
    """Return the backup-now's document."""
    return render_object(
        [
            ("id", request.id),
            ("requestedBy", request.requested_by),
            ("requestedAt", time_text(request.requested_at)),
            ("label", request.label),
            ("keep", request.keep),
            ("member", request.member),
        ]
    )


def render_backup_answer(answer: BackupAnswer) -> bytes:
    """Return the answer's document."""
    return render_object(
        [
            ("id", answer.id),
            ("answeredAt", time_text(answer.answered_at)),
            ("backup", answer.backup),
            ("code", answer.code),
            ("error", answer.error),
        ]
    )


def nanoseconds(time: datetime) -> int:
    """Return Unix nanoseconds, exactly to the microsecond: a float of them has lost its last digits."""
    return int(time.replace(microsecond=0).timestamp()) * _NANOSECONDS + time.microsecond * 1000


def _spec(fields: Fields) -> ClusterSpec:
    return ClusterSpec(member_count=fields.integer("memberCount"), etcd_version=fields.text("etcdVersion"))


def _time(fields: Fields, name: str) -> datetime:
    time = fields.time(name)
    if time is None:
        raise SpecError(f"{fields.where} names no {name}")
    return time


def _seconds(fields: Fields) -> Mapping[str, float]:
    took = fields.mapping("took")
    return MappingProxyType({name: took.number(name) for name in took.values} if took else {})


def _rounded(took: Mapping[str, float]) -> dict[str, float]:
    return {name: round(seconds, 3) for name, seconds in took.items()}
