"""`etcd-manager restore-backup`: plan, prove, ask, queue, follow.

    --at: find the way, make a backup of that moment
    resolve the name --> prove the backup --> rules S2..S9 --> plan  --typed name-->  queue the command --> follow until the receipt
         exit 5             exit 6              exit 4        exit 0                     (Go-compatible)        exit 0, or the failure's

Up to the queueing nothing is changed anywhere. The restore itself is the leading manager's work: it goes on when this
command ends, and its point of no return is its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agents.cli import CommonOptions, common, common_options, emit
from agents.consent import Consent, ask, consent, consent_options
from agents.durations import format_age, parse_human_duration
from agents.errors import BusyError, RefusedError, SpecError
from agents.exit_codes import ExitCode
from agents.timestamps import format_timestamp
from etcdmanager.backups.store import Listed
from etcdmanager.commands.backup_argument import backup_argument, etcd_and_backup
from etcdmanager.commands.figures import count_text, size_text
from etcdmanager.commands.follow import Follower, Style
from etcdmanager.commands.restore_point import backup_of, describe_point, find_point, point_document, point_options
from etcdmanager.commands.target import Target, target_of, target_options, who
from etcdmanager.control.commands import LeaderReport, Receipt, RestoreRequest
from etcdmanager.control.history import Event, History
from etcdmanager.control.store import ControlStore
from etcdmanager.spec import ClusterSpec, cluster_names

if TYPE_CHECKING:
    from etcdmanager.backups.preflight import Refusal
    from etcdmanager.backups.verify import Verified


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    backup_argument(parser, optional=True)
    point_options(parser)
    consent_options(parser, subject="whose data is replaced")
    parser.add_argument("--reason", default="", help="why; kept with the restore (INC-123)")
    rules = parser.add_argument_group("overriding safety rules")
    rules.add_argument("--discard-newer", action="store_true", help="S3: though a healthy quorum has newer data")
    rules.add_argument("--again", action="store_true", help="S7: though a restore was done in the last ten minutes")
    rules.add_argument("--clone", action="store_true", help="S8: though the backup is of another cluster")
    parser.add_argument("--wait", action=argparse.BooleanOptionalAction, default=True, help="follow it until it is done (the default)")
    parser.add_argument("--timeout", default="30m", metavar="DURATION", help="how long to follow it (default 30m)")
    parser.add_argument("--progress", choices=("auto", "json"), default="auto", help="json: one line of JSON per change on stderr")
    parser.add_argument("--scratch", metavar="DIR", default=tempfile.gettempdir(), help="where to unpack for the proof (default: TMPDIR)")
    target_options(parser)
    common_options(parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Everything that was found out before asking."""

    target: Target
    listed: Listed
    verified: Verified
    spec: ClusterSpec
    live: LeaderReport | None
    last: Receipt | None
    refused: tuple[Refusal, ...]
    proof_seconds: float
    now: datetime


def run(arguments: argparse.Namespace) -> ExitCode:
    """Restore, or show what a restore would do."""
    options = common(arguments)
    if not arguments.at and not arguments.words:
        raise SpecError("which backup?", code="usage", hint="name one of `etcd-manager list-backups`, latest, or a moment by --at")
    etcd, wanted = etcd_and_backup(arguments, default="" if not arguments.at else "latest")
    target = target_of(arguments, etcd)
    control = ControlStore(target.store)
    allowed = consent(arguments, target.cluster)
    if arguments.at:
        backups = target.backups
        point = find_point(arguments.at, backups)
        text = "\n".join([*describe_point(point, now=datetime.now(UTC)), "A backup is made of it first. Nothing has been changed."])
        if allowed is Consent.PLAN:
            emit(options, "PointInTimePlan", point_document(point), text)
            return ExitCode.OK
        wanted = backup_of(point, backups, arguments, control.spec())
    plan = _make_plan(target, control, wanted, arguments)
    if allowed is Consent.PLAN:
        emit(options, "RestorePlan", _document(plan), _text(plan, arguments, decided=False))
        return ExitCode.REFUSED if plan.refused else ExitCode.OK
    if plan.refused:
        raise _refusal(plan)
    if allowed is Consent.ASK:
        print(_text(plan, arguments, decided=True))
        ask(target.cluster)
    return _queue_and_follow(plan, control, arguments, options)


def _make_plan(target: Target, control: ControlStore, wanted: str, arguments: argparse.Namespace) -> _Plan:
    """Find everything out; NotFoundError, VerificationError and BusyError end it here, with nothing changed."""
    from etcdmanager.backups.preflight import Wish, refusals
    from etcdmanager.backups.verify import record, verify_light

    backups = target.backups
    listed = backups.resolve(wanted)
    began = time.monotonic()
    verified = verify_light(backups, listed.text, scratch=Path(arguments.scratch), reopen=False)
    proof_seconds = time.monotonic() - began
    now = datetime.now(UTC)
    record(backups, verified, kind="light", now=now, by=who())
    spec = control.spec() or verified.meta.spec
    if spec is None:
        raise SpecError(f"neither {control.url} nor the backup names a cluster spec", hint="etcd-manager-ctl configure-cluster")
    open_commands = control.observe().open_commands
    if open_commands:
        first = open_commands[0].command
        raise BusyError(
            f"a restore of {first.backup} is under way since {format_timestamp(first.queued_at)} (command {first.name})",
            code="restore-under-way",
            hint=f"etcd-manager status {target.etcd} {target.options}",
        )
    live = control.leader_report()
    last = max(control.receipts(), key=lambda receipt: receipt.finished_at, default=None)
    wish = Wish(
        cluster=target.cluster,
        etcd_cluster=_manager_name(target.etcd),
        discard_newer=arguments.discard_newer,
        again=arguments.again,
        clone=arguments.clone,
    )
    return _Plan(
        target=target,
        listed=listed,
        verified=verified,
        spec=spec,
        live=live,
        last=last,
        refused=refusals(wish, verified, spec=spec, live=live, last=last, now=now),
        proof_seconds=proof_seconds,
        now=now,
    )


def _manager_name(etcd: str) -> str:
    try:
        return cluster_names(etcd).cluster_name
    except SpecError:
        return ""


def _refusal(plan: _Plan) -> RefusedError:
    first = plan.refused[0]
    reasons = "; ".join(f"{refusal.code}: {refusal.reason}" for refusal in plan.refused)
    overrides = " ".join(refusal.override for refusal in plan.refused if refusal.override)
    hint = f"if you mean it: {overrides}" if all(refusal.override for refusal in plan.refused) else "choose another backup"
    return RefusedError(f"refused, nothing was changed: {reasons}", code=first.code, hint=hint)


def _queue_and_follow(plan: _Plan, control: ControlStore, arguments: argparse.Namespace, options: CommonOptions) -> ExitCode:
    timeout = parse_human_duration(arguments.timeout)
    request = RestoreRequest(
        requested_by=who(),
        requested_at=datetime.now(UTC),
        reason=arguments.reason,
        discard_newer=arguments.discard_newer,
        clone=arguments.clone,
    )
    command = control.queue_restore(backup=plan.listed.text, spec=plan.spec, queued_at=request.requested_at, request=request)
    text = f"queued {command.name} of {command.backup}"
    History(plan.target.store).note(
        Event(at=request.requested_at, by=request.requested_by, what="restore-backup", text=text, reason=request.reason)
    )
    if not arguments.wait:
        text = f"queued {command.name}; the leading manager takes it on within seconds\nfollow it: etcd-manager status {plan.target.etcd}"
        emit(options, "RestoreCommand", {"command": command.name, "backup": command.backup}, text)
        return ExitCode.OK
    style = Style.JSON if arguments.progress == "json" else Style.BAR if sys.stderr.isatty() else Style.LINES
    receipt = Follower(control, command, style=style).follow(timeout)
    undo = _undo(plan.target, receipt)
    emit(options, "RestoreResult", _result(receipt, undo), _done(receipt, undo))
    return ExitCode.OK


def _undo(target: Target, receipt: Receipt) -> str:
    if not receipt.pre_restore_backup:
        return ""
    return f"etcd-manager restore-backup {target.etcd} {receipt.pre_restore_backup} --discard-newer --again {target.options}"


def _done(receipt: Receipt, undo: str) -> str:
    seconds = sum(receipt.took.values())
    holds = f"{count_text(receipt.keys)} keys at revision {count_text(receipt.revision)}"
    lines = [f"Restored {receipt.backup}: {holds} on {len(receipt.members)} members, in {seconds:.1f} s."]
    if not receipt.bumped:
        lines.append("The revision could not be raised by this etcd: restart the API servers, their watches are of the old data.")
    lines.append(f"Undo: {undo}" if undo else "There was no quorum to save from: the old data is in data-trashcan/ on each member.")
    return "\n".join(lines)


def _result(receipt: Receipt, undo: str) -> dict[str, object]:
    return {
        "command": receipt.command,
        "backup": receipt.backup,
        "finishedAt": format_timestamp(receipt.finished_at),
        "members": list(receipt.members),
        "revision": receipt.revision,
        "keys": receipt.keys,
        "bumped": receipt.bumped,
        "preRestoreBackup": receipt.pre_restore_backup,
        "undo": undo,
        "took": dict(receipt.took),
    }


# --- the plan as text and document ---------------------------------------------------------------------------------


def _text(plan: _Plan, arguments: argparse.Namespace, *, decided: bool) -> str:
    target, contents, size = plan.target, plan.verified.contents, size_text(plan.verified.contents.size_bytes)
    figures = f"{count_text(contents.keys)} keys  {contents.leases} leases  revision {count_text(contents.revision)}"
    proof = f"{figures}  ({plan.proof_seconds:.1f} s)"
    undo = "the cluster as it is then (a pre-restore backup): the undo" if _serves(plan) else "a pre-restore backup, if a quorum serves"
    etcd = f"etcd {plan.spec.etcd_version}, revision raised by 1 000 000 000 and marked compacted"
    steps = [
        ("verify", f"{plan.listed.text}  sha256 ✓  gzip ✓  bolt ✓  {proof}"),
        ("compare", _comparison(plan)),
        ("prepare", f"download, verify and unpack on {plan.spec.member_count} members ({size} each); the cluster serves"),
        ("save", undo),
        ("fence", "the old etcd out of its clients' reach"),
        ("restore", f"natively on every member, {etcd}; the old data is kept"),
        ("check", "HashKV, key count and revision equal on all members"),
        ("open", "let clients in again; write the receipt"),
    ]
    lines = [f"Plan for {target.cluster} / {target.etcd}   {target.store.url}"]
    lines += [f" {number} {name:<9} {what}" for number, (name, what) in enumerate(steps, start=1)]
    lines.append(
        f"Data written after {format_timestamp(plan.listed.taken_at)} is LOST ({format_age(plan.now - plan.listed.taken_at)} of it)."
    )
    for refusal in plan.refused:
        lines.append(f"! {refusal.code}: {refusal.reason}" + (f"; override with {refusal.override}" if refusal.override else ""))
    if not decided:
        lines.append("Nothing has been changed.")
        again = f"etcd-manager restore-backup {target.etcd} {plan.listed.text} --yes --cluster {target.cluster}"
        lines.append(f"To do it: {again}{_again(plan, arguments)}")
    return "\n".join(lines)


def _again(plan: _Plan, arguments: argparse.Namespace) -> str:
    given = [flag for flag in ("discard_newer", "again", "clone") if getattr(arguments, flag)]
    flags = [f"--{flag.replace('_', '-')}" for flag in given]
    flags += [refusal.override for refusal in plan.refused if refusal.override]
    return "".join(f" {flag}" for flag in flags) + f" {plan.target.options}"


def _serves(plan: _Plan) -> bool:
    from etcdmanager.backups.preflight import lives

    return lives(plan.live, plan.now)


def _comparison(plan: _Plan) -> str:
    live = plan.live
    if live is None:
        return "no manager ever told how the cluster is; whether it has newer data is not known"
    age = format_age(plan.now - live.reported_at)
    if not _serves(plan):
        return f"no quorum is known to serve (last told {age} ago by {live.leader}: {len(live.healthy)} of {len(live.members)} members)"
    newer = count_text(max(0, live.revision - plan.verified.contents.revision))
    serve = f"{len(live.healthy)} of {len(live.members)} members serve at revision {count_text(live.revision)}"
    return f"{serve}, newer by {newer} ({age} ago)"


def _document(plan: _Plan) -> dict[str, object]:
    contents = plan.verified.contents
    return {
        "cluster": plan.target.cluster,
        "etcd": plan.target.etcd,
        "store": plan.target.store.url,
        "backup": {
            "name": plan.listed.text,
            "takenAt": format_timestamp(plan.listed.taken_at),
            "etcdVersion": plan.verified.server_version,
            "revision": contents.revision,
            "keys": contents.keys,
            "leases": contents.leases,
            "dbSizeBytes": contents.size_bytes,
            "dbSha256": plan.verified.snapshot.db_sha256,
        },
        "spec": {"memberCount": plan.spec.member_count, "etcdVersion": plan.spec.etcd_version},
        "live": None
        if plan.live is None
        else {
            "reportedAt": format_timestamp(plan.live.reported_at),
            "leader": plan.live.leader,
            "hasQuorum": plan.live.has_quorum,
            "revision": plan.live.revision,
        },
        "refused": [{"code": refusal.code, "reason": refusal.reason, "override": refusal.override} for refusal in plan.refused],
        "changed": False,
    }
