"""The decision: every ordering of rules, and how the first answer is found. Pure.

ClusterView --phase_of--> phase --its rules, in order--> first Action; Remarks on the way are kept for status
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar, assert_never

from etcdmanager.leader.actions import Action, Answer, Remark, Rest, Wait, describe
from etcdmanager.leader.paused import may_while_paused, pause_in, told, without_unclaimed
from etcdmanager.leader.rules import (
    lifecycle,
    maintenance,
    maintenance_hashes,
    maintenance_space,
    membership,
    peer_urls,
    quarantine,
    requests,
    restore,
    versions,
)
from etcdmanager.leader.view import ClusterView, NoCluster, Restoring, Running, Trouble, phase_of

V = TypeVar("V", NoCluster, Restoring, Running)

#: Refusals first: no rule below them is asked where one of them speaks.
NO_CLUSTER_RULES: tuple[Callable[[NoCluster], Answer], ...] = (
    lifecycle.refuse_damaged_peer,
    lifecycle.refuse_twins,
    lifecycle.refuse_after_marker,
    lifecycle.refuse_over_data,
    lifecycle.refuse_over_backups,
    lifecycle.start_founding_members,
    lifecycle.seal_formation,
    lifecycle.need_spec,
    lifecycle.need_all_peers,
    lifecycle.need_binaries,
    lifecycle.decide_formation,
)

#: The order of the drawing in rules/restore.py: rejections, claim, the way back, then forward step by step.
RESTORING_RULES: tuple[Callable[[Restoring], Answer], ...] = (
    restore.forget_finished,
    restore.take_over_claim,
    restore.reject_unknown_backup,
    restore.reject_without_spec,
    restore.reject_partial_restore,
    restore.claim_nothing_with_twins,
    restore.wait_for_restore_peers,
    restore.reject_without_binaries,
    restore.claim_restore,
    restore.abort_hopeless,
    restore.drop_other_preparations,
    restore.wait_for_missing_members,
    restore.prepare_restore,
    restore.save_before_restore,
    restore.fence_old_cluster,
    restore.pass_point_of_no_return,
    restore.commit_restore,
    restore.stop_go_members,
    restore.verify_restored,
    restore.lift_restored,
    restore.finish_restore,
)

#: What is said, then what is needed to go on at all, then backups, then changes of membership.
RUNNING_RULES: tuple[Callable[[Running], Answer], ...] = (
    membership.report_twins,
    membership.report_strangers,
    membership.report_damaged,
    membership.report_absent,
    membership.report_failing_learner,
    membership.report_missing_spec,
    versions.report_missing_binaries,
    versions.report_version_difference,
    peer_urls.report_peer_urls,
    maintenance.report_backups_from_the_future,
    maintenance_hashes.report_corrupt_alarm,
    maintenance_hashes.report_difference,
    maintenance_space.report_quota,
    maintenance_space.report_disk_room,
    maintenance.drop_preparations,
    maintenance.backup_of_member,
    membership.wait_without_quorum,
    maintenance.write_missing_marker,
    peer_urls.finish_peer_urls,
    quarantine.lift_quarantine,
    maintenance.backup_on_request,
    maintenance.periodic_backup,
    maintenance_space.relieve_nospace,
    membership.wait_while_cut_off,
    membership.promote_learner,
    membership.join_learner,
    requests.carry_out_member_request,
    membership.remove_lost_member,
    membership.remove_stuck_learner,
    membership.add_learner,
    membership.replace_dead_member,
    membership.remove_superfluous_member,
    membership.stop_removed_member,
    peer_urls.change_peer_urls,
    versions.change_versions,
    maintenance_space.defragment,
    maintenance_hashes.compare_hashes,
    maintenance.delete_expired_backups,
)

#: While the store is away: repair of membership by the managers' acknowledgement, and nothing that the store must know of (decision 0005).
STORE_AWAY_RULES: tuple[Callable[[Running], Answer], ...] = (
    membership.report_twins,
    membership.report_absent,
    membership.wait_without_quorum,
    membership.wait_while_cut_off,
    membership.promote_learner,
    membership.join_learner,
    membership.remove_lost_member,
    membership.remove_stuck_learner,
    membership.add_learner,
    membership.replace_dead_member,
    membership.wait_for_store,
)

#: The longest pause between two attempts of one action that keeps failing.
LONGEST_PAUSE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do, which rule says so ("" for Rest), and what other rules remarked on the way."""

    action: Action
    rule: str
    phase: str
    remarks: tuple[Remark, ...] = ()


def decide(view: ClusterView) -> Decision:
    """Return the one thing to do now; while an operator's pause holds, nothing that begins something."""
    pause = pause_in(view)
    if pause is None:
        return _decide(view, [])
    held = [f"restore of {q.command.backup}" for q in view.queue if not q.done and q.claim is None]
    found = _decide(without_unclaimed(view), held)
    remark = told(pause, tuple(held))
    if isinstance(found.action, Wait) and found.action.code == remark.code:
        return replace(found, action=Wait(code=remark.code, reason=remark.reason, hint=remark.hint))
    return replace(found, remarks=(remark, *found.remarks))


def _decide(view: ClusterView, held: list[str]) -> Decision:
    """Return the one thing to do now; what a pause holds back is added to `held`."""
    phase = phase_of(view)
    if view.store_away:
        if isinstance(phase, Running):
            return _first(STORE_AWAY_RULES, phase, held, phase_name="running")
        return Decision(action=membership.store_is_away(), rule="wait_for_store", phase="store-away")
    match phase:
        case NoCluster():
            return _first(NO_CLUSTER_RULES, phase, held, phase_name="no-cluster")
        case Restoring():
            return _first(RESTORING_RULES, phase, held, phase_name="restoring")
        case Running():
            return _first(RUNNING_RULES, phase, held, phase_name="running")
        case _:
            assert_never(phase)


def _first(rules: Sequence[Callable[[V], Answer]], view: V, held: list[str], *, phase_name: str) -> Decision:
    """Return the first action that a rule answers with.

    An action that failed a moment ago is not tried again before its pause is over, and one that an operator's pause holds back
    not before that is over. Where steps build on one another that stops the round; in a running cluster the other duties go on.
    """
    is_paused = pause_in(view.seen) is not None
    remarks: list[Remark] = []
    for rule in rules:
        answer = rule(view)
        name = getattr(rule, "__name__", "rule")
        if answer is None:
            continue
        if isinstance(answer, Remark):
            remarks.append(answer)
            continue
        if is_paused and not may_while_paused(answer, name):
            held.append(describe(answer))
            waits: Wait | None = Wait(code="paused", reason="")
        else:
            waits = _paused(view.seen.trouble(name), view.seen) if not isinstance(answer, Wait | Rest) else None
        if waits is None:
            return Decision(action=answer, rule=name, phase=phase_name, remarks=tuple(remarks))
        if not isinstance(view, Running):
            return Decision(action=waits, rule=name, phase=phase_name, remarks=tuple(remarks))
        if waits.code != "paused":
            remarks.append(Remark(code=waits.code, reason=waits.reason))
    return Decision(action=Rest(), rule="", phase=phase_name, remarks=tuple(remarks))


def pause_after(trouble: Trouble) -> timedelta:
    """Return how long to wait after the last failure: one second, doubled with each, at most LONGEST_PAUSE."""
    return min(LONGEST_PAUSE, timedelta(seconds=2.0 ** min(trouble.count - 1, 10)))


def _paused(trouble: Trouble | None, seen: ClusterView) -> Wait | None:
    """Return the wait that an action's last failure imposes, None where it may be tried (again)."""
    if trouble is None or seen.now - trouble.last >= pause_after(trouble):
        return None
    return Wait(code=trouble.code, reason=f"{trouble.message} (failed {trouble.count} times since {trouble.since:%H:%M:%S}Z; trying again)")
