"""How an operator's restore proceeds, and where it may still turn back.

    queued ──claim──▶ claimed ──prepare all──▶ prepared ──save──▶ saved ──fence──▶ fenced
       │                 └───────────────┴────────────────┴────────────┴──▶ aborted: old cluster serves on, command failed
       └──▶ rejected: nothing was begun                                 │
                                                           point of no return
                                                                        │
    receipt ◀──finish── serving ◀──lift one by one── verified ◀──verify── swapped ◀──commit all

Before the point of no return the old cluster is only read, and at the very end fenced; after it, a restore is
only ever retried forward. Go stops and trashes the live cluster before it looks at the backup (register B-02).
Preparing and saving go on at the same time where nothing has failed yet. Each rule looks at the state of the world and
the claim, never at what an earlier round did, so a new leader goes on where the old one stopped.
"""

from __future__ import annotations

from datetime import timedelta

from etcdmanager.control.commands import Claim
from etcdmanager.leader.actions import (
    AbortRestore,
    Answer,
    ClaimRestore,
    CommitRestore,
    Fence,
    FinishRestore,
    ForgetCommand,
    LiftQuarantine,
    PassPointOfNoReturn,
    PrepareRestore,
    RejectCommand,
    SaveBeforeRestore,
    SkipSave,
    StopRemoved,
    TakeOverClaim,
    VerifyRestored,
    Wait,
)
from etcdmanager.leader.rules.lifecycle import peers_without_version, wait_for_one_of_twins
from etcdmanager.leader.rules.maintenance import backup_sources
from etcdmanager.leader.rules.preparation import stray_preparation
from etcdmanager.leader.rules.quarantine import next_to_lift
from etcdmanager.leader.view import Holding, Peer, Restoring, Trouble, majority_token
from etcdmanager.quorum import quorum

#: How long a claimed restore may take to get everything ready. 400 MB take seconds, 8 GiB (etcd's largest
#: recommended database) about five minutes at 30 MB/s; twice that. Doubling it only delays bad news.
PREPARE_WITHIN = timedelta(minutes=10)

#: How often an action before the point of no return may fail for a passing reason before the restore is given up.
ATTEMPTS = 4

#: How long a restored cluster waits for its last members before a healthy quorum is enough. An etcd start takes a second or two.
STRAGGLERS_GET = timedelta(seconds=60)

#: How long after the claim the old cluster may be found without a quorum before it is restored over without a last backup. The
#: preparations that just ended kept its disks busy, and an election takes a second or two.
QUORUM_GETS = timedelta(seconds=15)

#: The rules whose actions can fail before the point of no return.
_BEFORE_COMMIT = ("claim_restore", "prepare_restore", "save_before_restore", "fence_old_cluster", "pass_point_of_no_return")


def forget_finished(view: Restoring) -> Answer:
    """Delete a command that was carried out or given up; it is never executed again (register B-03)."""
    return ForgetCommand(command=view.command) if view.queued.done else None


def take_over_claim(view: Restoring) -> Answer:
    """Continue what an earlier leader began, under our epoch; and never touch a claim of a later one."""
    if view.claim is None or view.claim.epoch == view.seen.epoch:
        return None
    if view.claim.epoch > view.seen.epoch:
        return Wait(
            code="claimed-by-newer-leader", reason=f"the restore is claimed under epoch {view.claim.epoch}, ours is {view.seen.epoch}"
        )
    return TakeOverClaim(claim=view.claim)


def reject_unknown_backup(view: Restoring) -> Answer:
    """Fail a command whose backup does not exist, before anything is begun."""
    if view.claim is not None:
        return None
    if not any(b.name == view.command.backup for b in view.seen.backups):
        return RejectCommand(
            command=view.command,
            code="backup-not-found",
            reason=f"no backup {view.command.backup!r} in the store",
            hint="etcd-manager list-backups",
        )
    return None


def reject_without_spec(view: Restoring) -> Answer:
    """Fail a command that does not say for how many members of which version."""
    if view.claim is not None or (view.command.spec is not None and view.command.spec.member_count >= 1):
        return None
    return RejectCommand(command=view.command, code="command-without-spec", reason="the command names no member count and etcd version")


def reject_partial_restore(view: Restoring) -> Answer:
    """Fail a restore onto fewer members than now run: those left out would go on serving the old data."""
    spec = view.command.spec
    if view.claim is not None or spec is None:
        return None
    running = len(view.seen.configured)
    if running > spec.member_count:
        return RejectCommand(
            command=view.command,
            code="restore-leaves-members-behind",
            reason=f"{running} members run, and the command asks for {spec.member_count}",
            hint="restore with the present member count, then shrink",
        )
    return None


def claim_nothing_with_twins(view: Restoring) -> Answer:
    """Begin no restore while two managers say they are one peer; one that was begun goes on."""
    return wait_for_one_of_twins(view.seen) if view.claim is None else None


def wait_for_restore_peers(view: Restoring) -> Answer:
    """Wait until as many sound peers answer as the restore needs, and no quorum can be hiding among the absent."""
    spec = view.command.spec
    if view.claim is not None or spec is None:
        return None
    sound = restore_members(view.seen.peers, spec.member_count)
    wanted = spec.member_count
    if any(not p.is_ours for p in view.seen.peers):
        # Ours are restored, and Go's join as learners: they cannot prepare anything beside what serves.
        wanted = min(wanted, max(1, sum(1 for p in view.seen.peers if p.is_ours)))
    if len(sound) < wanted:
        unwell = [f"{a.id} does not answer" for a in view.seen.absent]
        unwell += [f"{p.id} is damaged: {p.problem}" for p in view.seen.peers if p.holds is Holding.DAMAGED]
        return Wait(
            code="restore-waits-for-peers",
            reason=f"{len(sound)} of {spec.member_count} peers are ready; {'; '.join(unwell) or 'no others are known'}",
            hint="start the missing managers, or queue the restore for fewer members",
        )
    away = sum(1 for absent in view.seen.absent if absent.id not in view.queued.gone)
    if away and away >= quorum(away + len(view.seen.configured)):
        return Wait(
            code="absent-peers-could-serve",
            reason=f"{away} peers do not answer, and together they could still serve the old data",
            hint="bring them back, or make sure that they are off and take them out of the configured peers",
        )
    return None


def reject_without_binaries(view: Restoring) -> Answer:
    """Fail a restore to a version that a member has no binaries of (safeguard S9)."""
    spec = view.command.spec
    if view.claim is not None or spec is None:
        return None
    lacking = peers_without_version(restore_members(view.seen.peers, spec.member_count), spec.etcd_version)
    if not lacking:
        return None
    return RejectCommand(
        command=view.command,
        code="S9-no-binaries",
        reason=f"etcd {spec.etcd_version} is not installed on {', '.join(lacking)}",
        hint="install it, or restore with an installed version",
    )


def claim_restore(view: Restoring) -> Answer:
    """Claim the command for its members: those that run now first, then by id."""
    spec = view.command.spec
    if view.claim is not None or spec is None:
        return None
    members = restore_members(view.seen.peers, spec.member_count)
    return ClaimRestore(command=view.command, members=tuple(p.id for p in members))


def abort_hopeless(view: Restoring) -> Answer:
    """Turn back, while that is still free, when something failed for good, too often, or takes too long."""
    claim = view.claim
    if claim is None or claim.committing_at is not None:
        return None
    failed = [t for t in view.seen.troubles if t.rule in _BEFORE_COMMIT and (t.permanent or t.count >= ATTEMPTS) and not _is_unsavable(t)]
    if failed:
        return _abort(view, claim, failed[0].code, failed[0].message)
    damaged = [p for p in view.targets if p.holds is Holding.DAMAGED]
    if damaged:
        return _abort(view, claim, "S1-damaged-state", f"{damaged[0].id}: {damaged[0].problem}")
    if view.seen.now - claim.claimed_at > PREPARE_WITHIN:
        return _abort(
            view,
            claim,
            "restore-took-too-long",
            f"not ready {PREPARE_WITHIN} after it was claimed; missing: {', '.join(view.missing) or 'nobody'}",
        )
    return None


def drop_other_preparations(view: Restoring) -> Answer:
    """Have members drop what they prepared for another claim: they were away when that one was given up."""
    claim = view.claim
    return stray_preparation(view.targets, expected=claim.token) if claim is not None else None


def prepare_restore(view: Restoring) -> Answer:
    """Have every member prepare; also one that lost its preparation after the point of no return."""
    claim = view.claim
    if claim is None:
        return None
    unprepared = tuple(p.id for p in view.targets if not _is_ready(p, claim))
    if not unprepared:
        return None
    at_once = save_before_restore(view) if view.seen.trouble("save_before_restore") is None else None
    return PrepareRestore(claim=claim, peers=unprepared, save_from=at_once.peers if isinstance(at_once, SaveBeforeRestore) else ())


def wait_for_missing_members(view: Restoring) -> Answer:
    """Wait for all members before they prepare: each is told the URLs of all, and one that stays behind could not be fenced."""
    claim = view.claim
    if claim is None or claim.committing_at is not None or not view.missing:
        return None
    return Wait(
        code="restore-waits-for-peers",
        reason=f"not answering: {', '.join(view.missing)}",
        hint="start their managers; the old cluster goes on serving",
    )


def save_before_restore(view: Restoring) -> Answer:
    """Back the old cluster up while it still serves; the name of that backup is the undo.

    Where every member's data is damaged, the restore is what helps: it goes on without, and the trash is the undo. An etcd that
    does not answer at this moment is given one.
    """
    claim = view.claim
    if claim is None or claim.saved_at is not None or claim.committing_at is not None:
        return None
    old = old_cluster(view, claim)
    sources = backup_sources(old)
    trouble = view.seen.trouble("save_before_restore")
    if not old or (trouble is not None and _is_unsavable(trouble)):
        return SkipSave(claim=claim)
    if len(sources) >= quorum(len(old) + len(view.seen.absent)):
        return SaveBeforeRestore(claim=claim, peers=sources)
    if view.seen.now - claim.claimed_at < QUORUM_GETS:
        return Wait(code="restore-waits-for-quorum", reason="the old cluster, which would be backed up first, has no quorum at this moment")
    return SkipSave(claim=claim)


def fence_old_cluster(view: Restoring) -> Answer:
    """Keep clients out of the old cluster, all members at once, when all that comes after is ready."""
    claim = view.claim
    if claim is None or claim.committing_at is not None:
        return None
    old = old_cluster(view, claim)
    open_to_clients = tuple(p.id for p in old if not p.quarantined)
    if open_to_clients:
        return Fence(claim=claim, peers=open_to_clients)
    exposed = [p.id for p in old if p.exposed]
    if exposed:
        return Wait(code="fencing", reason=f"etcd of {', '.join(exposed)} still listens for clients; its manager is restarting it")
    return None


def pass_point_of_no_return(view: Restoring) -> Answer:
    """Authorise the swap. Everything that could be known to fail was tried by now."""
    if view.claim is None or view.claim.committing_at is not None:
        return None
    return PassPointOfNoReturn(claim=view.claim)


def commit_restore(view: Restoring) -> Answer:
    """Swap the data in on every member that has not done so."""
    claim = view.claim
    if claim is None:
        return None
    waiting = tuple(p.id for p in view.targets if not _is_swapped(p, claim))
    return CommitRestore(claim=claim, peers=waiting) if waiting else None


def stop_go_members(view: Restoring) -> Answer:
    """Have Go's members of the old cluster stop, once the restored data is in place: they join it as learners afterwards."""
    claim = view.claim
    if claim is None or claim.committing_at is None:
        return None
    old = sorted(p.id for p in view.seen.configured if not p.is_ours and p.cluster_token != claim.token)
    return StopRemoved(peer=old[0]) if old else None


def verify_restored(view: Restoring) -> Answer:
    """Compare the members' hashes once they serve; a straggler is waited for, but not for ever."""
    claim = view.claim
    if claim is None or claim.verified_at is not None or claim.committing_at is None:
        return None
    serving = tuple(p for p in view.targets if p.serves)
    patient = view.seen.now - claim.committing_at <= STRAGGLERS_GET
    enough = len(claim.members) if patient else quorum(len(claim.members))
    if len(serving) < enough:
        away = sorted(set(claim.members) - {p.id for p in serving})
        reasons = "; ".join(f"{p.id}: {p.problem}" for p in view.targets if p.problem)
        return Wait(
            code="restored-members-starting",
            reason=f"restored members that do not serve yet: {', '.join(away)}{' (' + reasons + ')' if reasons else ''}",
        )
    return VerifyRestored(claim=claim, peers=tuple(p.id for p in serving))


def lift_restored(view: Restoring) -> Answer:
    """Let clients in, member by member; the first one ends the outage."""
    claim = view.claim
    if claim is None or claim.verified_at is None or not any(p.quarantined for p in view.targets):
        return None
    patient = view.seen.now - claim.verified_at <= STRAGGLERS_GET
    chosen = next_to_lift(view.targets, voters=len(claim.members), patient=patient)
    if chosen is not None:
        return LiftQuarantine(peer=chosen)
    if patient:
        return Wait(code="quarantine-waits", reason="a restored member restarts; the next one is let out when it serves")
    return None


def finish_restore(view: Restoring) -> Answer:
    """Write the receipt. A member that is still away is let out of quarantine later, by the rule for running clusters."""
    return FinishRestore(claim=view.claim, command=view.command) if view.claim is not None else None


def restore_members(peers: tuple[Peer, ...], count: int) -> tuple[Peer, ...]:
    """Return the peers to restore onto, sorted by id: sound ones of ours, and those that run a cluster before those that do not."""
    sound = [p for p in peers if p.holds is not Holding.DAMAGED and p.is_ours]
    chosen = sorted(sound, key=lambda p: (p.holds is not Holding.CLUSTER, p.id))[:count]
    return tuple(sorted(chosen, key=lambda p: p.id))


def old_cluster(view: Restoring, claim: Claim) -> tuple[Peer, ...]:
    """Return the peers of the incarnation that the restore replaces."""
    old = tuple(p for p in view.seen.configured if p.cluster_token != claim.token)
    token = majority_token(old) if old else ""
    return tuple(p for p in old if p.cluster_token == token)


def _is_unsavable(trouble: Trouble) -> bool:
    """Return whether the backup before the restore failed because the old cluster's data is damaged."""
    return trouble.rule == "save_before_restore" and trouble.damage


def _is_swapped(peer: Peer, claim: Claim) -> bool:
    """Return whether the peer's live data is the restored one."""
    return peer.holds is Holding.CLUSTER and peer.cluster_token == claim.token


def _is_ready(peer: Peer, claim: Claim) -> bool:
    """Return whether the peer has the restored data, beside its live data or as it."""
    return peer.prepared_token == claim.token or _is_swapped(peer, claim)


def _abort(view: Restoring, claim: Claim, code: str, reason: str) -> AbortRestore:
    """Return the abort of this claim: everybody drops what they prepared, and the fenced are let out."""
    return AbortRestore(
        claim=claim,
        command=view.command,
        peers=tuple(p.id for p in view.targets if p.prepared_token),
        fenced=tuple(p.id for p in old_cluster(view, claim) if p.quarantined),
        code=code,
        reason=reason,
        hint="the old cluster was not changed; queue the restore again when the reason is gone",
    )
