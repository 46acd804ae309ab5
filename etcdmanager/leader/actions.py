"""What the leader may do: a closed union of values. A rule answers with one; `etcdmanager.leader.execute` does it.

An answer is an Action (do this, and ask nobody else), a Remark (this rule cannot act for a reason worth telling;
ask the next one) or None (not this rule's case).
"""

from __future__ import annotations

from dataclasses import dataclass

from etcdmanager.control.commands import BackupRequest, Claim, Formation, RestoreCommand
from etcdmanager.control.member_requests import MemberRequest
from etcdmanager.etcd.answers import RaisedAlarm
from etcdmanager.spec import ClusterSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Why a rule did not act; shown in status until it goes away. The code is stable (docs/etcd-manager.md lists them)."""

    code: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Do nothing in this round, and let no later rule do anything either, for this reason."""

    code: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """All is as it should be."""


# --- no cluster yet


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideFormation:
    """Write down who will form the new cluster, under a fresh token, before anybody is told."""

    members: tuple[str, ...]
    spec: ClusterSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class StartMembers:
    """Tell `peers` to start as founding members of the decided formation."""

    formation: Formation
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealFormation:
    """Write the spec and the created-marker; then the formation record is history."""

    formation: Formation


# --- restoring


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRestore:
    """Take a queued restore on: one claim, conditionally created, with a fresh token and its members."""

    command: RestoreCommand
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOverClaim:
    """Continue a claim that an earlier leader left, under our epoch."""

    claim: Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectCommand:
    """Move an unclaimed command to failed: nothing was begun, nothing changed."""

    command: RestoreCommand
    code: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareRestore:
    """Have `peers` fetch, verify and unpack the backup beside their live data; the old cluster goes on serving.

    Meanwhile it is backed up from the first of `save_from` that can, where any is named: neither waits for the other.
    """

    claim: Claim
    peers: tuple[str, ...]
    save_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveBeforeRestore:
    """Back the old cluster up once more, from the first of `peers` that can; its name is the undo."""

    claim: Claim
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipSave:
    """Record that there was nobody to save from: without quorum the old data directories, kept in the trash, are the undo."""

    claim: Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """Move the old etcd of `peers` to the quarantine port, so that no client writes what the swap would lose."""

    claim: Claim
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassPointOfNoReturn:
    """Record that the swap is authorised; from here on the restore is only retried forward."""

    claim: Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRestore:
    """Have `peers` swap the prepared data in: old etcd stopped, old data to the trash, new etcd started in quarantine."""

    claim: Claim
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRestored:
    """Compare hashes and revisions of all restored members, and record key count and revision."""

    claim: Claim
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishRestore:
    """Write the receipt and the marker, then delete the command."""

    claim: Claim
    command: RestoreCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetCommand:
    """Delete a command whose receipt exists; a receipt makes a replay impossible."""

    command: RestoreCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortRestore:
    """Give a claimed restore up before its point of no return: drop what was prepared, lift what was fenced, fail the command."""

    claim: Claim
    command: RestoreCommand
    #: Peers whose preparation is to be dropped.
    peers: tuple[str, ...]
    #: Peers of the old cluster that are to be let out of quarantine.
    fenced: tuple[str, ...]
    code: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropPreparation:
    """Have a peer drop restored data that no claim speaks of any more; it could prepare nothing else meanwhile."""

    peer: str
    token: str


# --- running


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftQuarantine:
    """Let clients reach one member again; its etcd restarts."""

    peer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteMarker:
    """Write the created-marker again from the living cluster; never the reverse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeBackup:
    """Back up from the first of `peers` that can, and answer the requests that waited for it."""

    peers: tuple[str, ...]
    why: str
    requests: tuple[BackupRequest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBackups:
    """Delete backups that retention no longer asks for."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddLearner:
    """Add an empty peer to etcd's list as a learner and have it join; never as a voter."""

    peer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinLearner:
    """Have a peer start that was listed as a learner but never came up: the join was interrupted."""

    peer: str
    member_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteLearner:
    """Make a learner that has caught up a voter; etcd refuses while it has not."""

    member_id: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveMember:
    """Take a member off etcd's list."""

    member_id: int
    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRemoved:
    """Have a peer whose member was removed stop its etcd; its data goes to the trash."""

    peer: str


# --- upkeep


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeVersion:
    """Have one member run another version of etcd; raft's lead is moved away from it first."""

    peer: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableDowngrade:
    """Have etcd (3.6 on) let members of a lower minor line join; it checks first whether it can."""

    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelDowngrade:
    """Take an enabled downgrade back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareHashes:
    """Compare the keys of all members at one revision; it changes nothing, and what it finds is remembered."""

    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Defragment:
    """Rewrite one member's database file without holes; it serves nothing meanwhile, and does not lead raft."""

    peer: str
    #: The id of the request that this is for; "" where nobody asked.
    request: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compact:
    """Forget what was before a revision."""

    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disarm:
    """Clear alarms whose cause is gone."""

    alarms: tuple[RaisedAlarm, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePeerUrls:
    """Have etcd list a member under its configured peer URLs, and the member listen there; raft's lead is moved away from it first."""

    peer: str
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRaftLeader:
    """Have a member lead raft, because an operator asked for it."""

    peer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerMemberRequest:
    """Tell an operator what became of a request about a member; `code` is "" where it is done."""

    request: MemberRequest
    text: str
    code: str = ""


#: Steps of a claimed restore in which members do something.
RestoreWork = PrepareRestore | SaveBeforeRestore | Fence | CommitRestore | VerifyRestored
#: Steps of a claimed restore that are only recorded.
RestoreRecord = TakeOverClaim | SkipSave | PassPointOfNoReturn
RestoreAction = ClaimRestore | RejectCommand | ForgetCommand | AbortRestore | DropPreparation | FinishRestore | RestoreWork | RestoreRecord
MembershipAction = AddLearner | JoinLearner | PromoteLearner | RemoveMember | StopRemoved
UpkeepAction = ChangeVersion | EnableDowngrade | CancelDowngrade | CompareHashes | ChangePeerUrls | Defragment | Compact | Disarm
RequestedAction = MoveRaftLeader | AnswerMemberRequest
FormationAction = DecideFormation | StartMembers | SealFormation | WriteMarker
BackupAction = TakeBackup | DeleteBackups
Action = Wait | Rest | FormationAction | RestoreAction | MembershipAction | UpkeepAction | LiftQuarantine | BackupAction | RequestedAction

Answer = Action | Remark | None


def describe(action: Action) -> str:
    """Return the action as a few words for a log line."""
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in type(action).__name__).strip()
    match action:
        case Wait() | RejectCommand() | AbortRestore():
            words += f" ({action.code}): {action.reason}"
        case StartMembers() | PrepareRestore() | Fence() | CommitRestore() | VerifyRestored() | SaveBeforeRestore():
            words += f" on {', '.join(action.peers)}"
        case DecideFormation() | ClaimRestore():
            words += f" with {', '.join(action.members)}"
        case ChangeVersion() | ChangePeerUrls() | Defragment() | StopRemoved() | DropPreparation():
            words += f" of {action.peer}"
        case LiftQuarantine() | AddLearner() | JoinLearner():
            words += f" of {action.peer}"
        case MoveRaftLeader():
            words += f" to {action.peer}"
        case PromoteLearner() | RemoveMember():
            words += f" {action.name or 'unnamed'} ({action.member_id:x})"
        case _:
            pass
    return words
