"""`etcd-manager recover-from-member`: a quorum is lost for good; which copy loses least, and a new cluster from a surviving member.

    advice: surviving members and newest backup by revision --typed name--> back that member up, quorum or not
                                            --> restore that backup on the peers that answer (the usual restore: proof, trash, receipt)

etcd's own --force-new-cluster rewrites the only copy in place; this works on a copy, and the old data stays in the trash.
The peers that do not answer are declared gone: were they alive, they could go on serving the old data.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from agents.cli import common, common_options, emit, table
from agents.consent import Consent, ask, consent, consent_options
from agents.durations import format_age, parse_human_duration
from agents.errors import AgentError, DeadlineError, NotFoundError, RefusedError, SpecError
from agents.exit_codes import ExitCode
from agents.timestamps import format_timestamp
from etcdmanager.backups.store import BackupStore
from etcdmanager.commands.cluster_status import ClusterReport, read_report
from etcdmanager.commands.figures import count_text
from etcdmanager.commands.follow import Follower, Style
from etcdmanager.commands.member_advice import FRESH
from etcdmanager.commands.target import Target, target_of, target_options, who
from etcdmanager.control.commands import BackupAnswer, BackupRequest, RestoreRequest
from etcdmanager.control.history import Event, History
from etcdmanager.control.store import ControlStore
from etcdmanager.spec import ClusterSpec

_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Something that a new cluster could begin from. `revision` 0: nobody knows."""

    source: str
    revision: int
    says: str
    is_member: bool


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    parser.add_argument(
        "words", nargs="*", metavar="[ETCD] [NAME]", help="the etcd cluster (default main) and the member; without NAME: advice"
    )
    consent_options(parser, subject="whose lost quorum is given up")
    parser.add_argument("--reason", default="", help="why; kept with the restore (INC-123)")
    parser.add_argument("--timeout", default="30m", metavar="DURATION", help="how long to follow it (default 30m)")
    target_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Advise, or recover."""
    etcd, name = _words(arguments)
    target = target_of(arguments, etcd)
    report, now = read_report(target.store, target.etcd), datetime.now(UTC)
    found = copies(report, BackupStore(target.store), now)
    advice = _advice(target, found)
    if not name:
        items = [{"source": c.source, "revision": c.revision, "says": c.says, "isMember": c.is_member} for c in found]
        emit(common(arguments), "RecoveryAdvice", {"cluster": target.cluster, "etcd": target.etcd, "items": items}, advice)
        return ExitCode.OK if found else ExitCode.FINDING
    refuse_while_hope_is_left(report, now)
    if not any(c.is_member and c.source == name for c in found):
        raise NotFoundError(f"{name} is no member whose etcd answers", hint="etcd-manager recover-from-member shows who is")
    gone = tuple(sorted(str(row["name"]) for row in report.members if not row.get("answers")))
    plan = _plan(target, report, name, gone)
    allowed = consent(arguments, target.cluster)
    if allowed is Consent.PLAN:
        content = {"cluster": target.cluster, "member": name, "gone": list(gone), "changed": False}
        emit(common(arguments), "RecoveryPlan", content, f"{advice}\n{plan}\nNothing has been changed.")
        return ExitCode.OK
    if allowed is Consent.ASK:
        print(f"{advice}\n{plan}")
        ask(target.cluster)
    return _recover(arguments, target, report, name, gone)


def copies(report: ClusterReport, backups: BackupStore, now: datetime) -> tuple[Copy, ...]:
    """Return what a new cluster could begin from, what loses least first: by revision, a member before a backup of the same."""
    found = [
        Copy(source=str(row["name"]), revision=_revision(row), says="its etcd answers", is_member=True)
        for row in report.members
        if row.get("answers") and _revision(row)
    ]
    newest = max(backups.list(), key=lambda b: b.taken_at, default=None)
    if newest is not None:
        manifest = backups.manifest(newest.text)
        says = f"backup, {format_age(now - newest.taken_at)} old{'' if manifest and manifest.verified else ', NOT VERIFIED'}"
        found.append(Copy(source=newest.text, revision=manifest.revision if manifest else 0, says=says, is_member=False))
    return tuple(sorted(found, key=lambda c: (-c.revision, not c.is_member, c.source)))


def refuse_while_hope_is_left(report: ClusterReport, now: datetime) -> None:
    """Raise RefusedError while etcd has a quorum, or nobody told lately whether it has one."""
    if report.told_at is None or now - report.told_at > FRESH:
        told = format_timestamp(report.told_at) if report.told_at is not None else "never"
        raise RefusedError(
            f"the cluster's state was last told at {told}: a manager must lead before anything is recovered",
            code="nobody-told-lately",
            hint=f"etcd-manager status {report.etcd}",
        )
    if report.cluster.get("hasQuorum"):
        raise RefusedError(
            "S3-quorum-serves: etcd has a quorum, nothing is lost, and nothing needs to be recovered", code="S3-quorum-serves"
        )


def _advice(target: Target, found: tuple[Copy, ...]) -> str:
    if not found:
        return "no member's etcd answers, and there is no backup: bring a member's volume back"
    best = found[0].revision
    rows = [(c.source, count_text(c.revision) if c.revision else None, _behind(best, c), c.says) for c in found]
    lines = [f"What {target.cluster} / {target.etcd} could begin from again, what loses least first:"]
    lines.append(table(("SOURCE", "REVISION", "LOSES", ""), rows, right={"REVISION", "LOSES"}))
    lines.append("Cheapest of all, with nothing lost: bring the volume of one more member back.")
    verb = "recover-from-member" if found[0].is_member else "restore-backup"
    lines.append(f"Else: etcd-manager {verb} {target.etcd} {found[0].source} {target.options}")
    return "\n".join(lines)


def _behind(best: int, copy: Copy) -> str:
    return f"{count_text(best - copy.revision)} revisions" if copy.revision else "unknown"


def _plan(target: Target, report: ClusterReport, name: str, gone: tuple[str, ...]) -> str:
    answering = [str(row["name"]) for row in report.members if row.get("answers")]
    return "\n".join(
        (
            f"Plan for {target.cluster} / {target.etcd}",
            f" 1 back up    {name}'s own copy, without a quorum; the backup is pinned",
            f" 2 restore    it on {', '.join(answering)}, as a new cluster; the old data goes to data-trashcan/ on each",
            f" 3 grow       as other machines come with empty disks, to the {report.wanted} members that are wanted",
            f"Declared gone for good: {', '.join(gone) or 'nobody'}. MAKE SURE THAT THEY ARE OFF: alive, they could serve the old data.",
        )
    )


def _recover(arguments: argparse.Namespace, target: Target, report: ClusterReport, name: str, gone: tuple[str, ...]) -> ExitCode:
    timeout, now = parse_human_duration(arguments.timeout), datetime.now(UTC)
    control = ControlStore(target.store)
    label = "recover-from-member"
    request = BackupRequest(
        id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}", requested_by=who(), requested_at=now, label=label, keep=True, member=name
    )
    control.request_backup(request)
    backup = _taken(control, request, time.monotonic() + timeout.total_seconds())
    text = f"recovering from {name} by backup {backup}; gone: {', '.join(gone) or 'nobody'}"
    History(target.store).note(Event(at=now, by=request.requested_by, what=label, text=text, reason=arguments.reason))
    wish = RestoreRequest(requested_by=request.requested_by, requested_at=now, reason=arguments.reason or label, gone=gone)
    answering = sum(1 for row in report.members if row.get("answers"))
    wanted = control.spec()
    version = wanted.etcd_version if wanted is not None else next(str(r["version"]) for r in report.members if r.get("name") == name)
    count = min(answering, wanted.member_count) if wanted is not None else answering
    spec = ClusterSpec(member_count=count, etcd_version=version)
    command = control.queue_restore(backup=backup, spec=spec, queued_at=datetime.now(UTC), request=wish)
    receipt = Follower(control, command, style=Style.BAR if sys.stderr.isatty() else Style.LINES).follow(timeout)
    said = f"{name}'s data serves again: {count_text(receipt.keys)} keys on {', '.join(receipt.members)}; its backup is {backup}"
    content = {"member": name, "backup": backup, "command": receipt.command, "members": list(receipt.members), "keys": receipt.keys}
    emit(common(arguments), "RecoveryResult", content, said)
    return ExitCode.OK


def _taken(control: ControlStore, request: BackupRequest, deadline: float) -> str:
    """Return the backup that was asked for; the error that it ended with, or DeadlineError."""
    answer: BackupAnswer | None = None
    while answer is None:
        if time.monotonic() > deadline:
            raise DeadlineError(f"{request.member} was not backed up in time; is a manager leading?", code="backup-timeout")
        time.sleep(_POLL_SECONDS)
        answer = control.backup_answer(request.id)
    if not answer.backup:
        raise AgentError(f"the backup of {request.member} failed: {answer.error}", code=answer.code or None)
    return answer.backup


def _words(arguments: argparse.Namespace) -> tuple[str, str]:
    words = [str(word) for word in arguments.words]
    match words:
        case []:
            return "main", ""
        case ["main" | "events" | "cilium" | "leases" as etcd]:
            return etcd, ""
        case [name]:
            return "main", name
        case [etcd, name]:
            return etcd, name
        case _:
            raise SpecError(f"wanted [ETCD] [NAME], found {' '.join(words)}", code="usage")


def _revision(row: Mapping[str, object]) -> int:
    value = row.get("revision", 0)
    return value if isinstance(value, int) else 0
