"""What of a leader's actions an operator wants to read in the history afterwards, and in which words; pure.

Left out: what happens every quarter of an hour without anybody's doing (scheduled backups), questions that change nothing, and steps that
the next one tells of.
"""

from __future__ import annotations

from etcdmanager.leader import actions as a
from etcdmanager.leader.view import ClusterView


def deed(action: a.Action, view: ClusterView) -> tuple[str, str] | None:  # noqa: C901, PLR0911  a case for each action
    """Return the verb and a sentence for an action that was carried out; None for one that is not worth a line."""
    match action:
        case a.DecideFormation() | a.SealFormation() | a.WriteMarker():
            return _of_formation(action)
        case a.TakeBackup():
            return _of_backup(action)
        case a.DeleteBackups(names=names):
            return "retention", f"deleted {len(names)} backups, {names[0]} to {names[-1]}" if len(names) > 1 else f"deleted {names[0]}"
        case a.LiftQuarantine(peer=peer):
            return "quarantine", f"let clients reach {peer} again"
        case a.AddLearner() | a.JoinLearner() | a.PromoteLearner() | a.RemoveMember() | a.StopRemoved():
            return _of_membership(action)
        case a.MoveRaftLeader(peer=peer):
            return "move-leader", f"moved raft's lead to {peer}"
        case a.AnswerMemberRequest(request=request, text=text, code=code):
            return request.verb.value, f"{'refused: ' if code else ''}{text}"
        case a.ChangeVersion() | a.EnableDowngrade() | a.CancelDowngrade() | a.ChangePeerUrls():
            return _of_change(action, view)
        case a.Defragment() | a.Compact() | a.Disarm():
            return _of_maintenance(action, view)
        case _:
            return _of_restore(action)


def _of_formation(action: a.DecideFormation | a.SealFormation | a.WriteMarker) -> tuple[str, str]:
    match action:
        case a.DecideFormation(members=members, spec=spec):
            return "formation", f"decided to form a new cluster of etcd {spec.etcd_version} with {', '.join(members)}"
        case a.SealFormation(formation=formation):
            return "formation", f"formed cluster {formation.token}: {', '.join(formation.members)}"
        case a.WriteMarker():
            return "formation", "wrote the created-marker again from the living cluster"


def _of_backup(action: a.TakeBackup) -> tuple[str, str] | None:
    if action.requests:
        return "backup-now", f"backed up for {', '.join(sorted({r.requested_by for r in action.requests}))}"
    return None if action.why == "schedule" else ("backup", f"backed up ({action.why})")


def _of_membership(action: a.MembershipAction) -> tuple[str, str]:
    match action:
        case a.AddLearner(peer=peer):
            return "membership", f"added {peer} as a learner"
        case a.JoinLearner(peer=peer):
            return "membership", f"had {peer} join, which was listed already"
        case a.PromoteLearner(name=name, member_id=member):
            return "membership", f"made {name or 'an unnamed learner'} ({member:x}) a voter"
        case a.RemoveMember(name=name, member_id=member, why=why):
            return "membership", f"removed {name or 'an unnamed member'} ({member:x}): {why}"
        case a.StopRemoved(peer=peer):
            return "membership", f"stopped the etcd of {peer}, which is no member any more"


def _of_change(action: a.ChangeVersion | a.EnableDowngrade | a.CancelDowngrade | a.ChangePeerUrls, view: ClusterView) -> tuple[str, str]:
    match action:
        case a.ChangeVersion(peer=peer, to=to):
            before = next((p.etcd_version for p in view.peers if p.id == peer), "")
            return "upgrade", f"had {peer} run etcd {to}{f', before {before}' if before and before != to else ''}"
        case a.EnableDowngrade(to=to):
            return "upgrade", f"enabled etcd's downgrade to {to}"
        case a.CancelDowngrade():
            return "upgrade", "cancelled etcd's downgrade"
        case a.ChangePeerUrls(peer=peer, urls=urls):
            return "peer-urls", f"had the others reach {peer} at {', '.join(urls)}"


def _of_maintenance(action: a.Defragment | a.Compact | a.Disarm, view: ClusterView) -> tuple[str, str]:
    match action:
        case a.Defragment(peer=peer):
            return "defrag", f"defragmented {peer}"
        case a.Compact(revision=revision):
            return "compaction", f"forgot what was before revision {revision}"
        case a.Disarm(alarms=alarms):
            names = {m.id: m.name for m in view.members or ()}
            raised = ", ".join(f"{alarm.alarm.name} of {names.get(alarm.member_id) or f'{alarm.member_id:x}'}" for alarm in alarms)
            return "alarm", f"disarmed {raised}"


def _of_restore(action: a.Action) -> tuple[str, str] | None:  # noqa: C901  a case for each action
    """Return what is told of a restore's step; None for all other actions."""
    text: str | None
    match action:
        case a.ClaimRestore(command=command, members=members):
            text = f"began to restore {command.backup} on {', '.join(members)} (command {command.name})"
        case a.TakeOverClaim(claim=claim):
            text = f"took over the restore of {claim.backup} from {claim.holder} (epoch {claim.epoch})"
        case a.RejectCommand(command=command, code=code, reason=reason):
            text = f"rejected the restore of {command.backup} ({code}): {reason}"
        case a.AbortRestore(command=command, code=code, reason=reason):
            text = f"gave the restore of {command.backup} up ({code}): {reason}"
        case a.PrepareRestore(claim=claim, peers=peers):
            text = f"prepared {claim.backup} on {', '.join(peers)}"
        case a.SkipSave():
            text = "nobody could be backed up before the restore; the old data is in the trash"
        case a.Fence(peers=peers):
            text = f"closed {', '.join(peers)} to clients"
        case a.PassPointOfNoReturn(claim=claim):
            text = f"passed the point of no return of {claim.backup}"
        case a.CommitRestore(claim=claim, peers=peers):
            text = f"swapped {claim.backup} in on {', '.join(peers)}"
        case a.FinishRestore(claim=claim):
            undo = f"; undo: restore-backup {claim.pre_restore_backup}" if claim.pre_restore_backup else ""
            text = f"restored {claim.backup}: {claim.keys} keys at revision {claim.revision}{undo}"
        case _:
            text = None
    return ("restore", text) if text is not None else None
