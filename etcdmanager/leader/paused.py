"""What the leader still does while an operator's pause holds: keep data safe, and finish what was begun; pure.

Supervision of each member's own etcd is not the leader's, and goes on.
"""

from __future__ import annotations

from dataclasses import replace

from agents.timestamps import format_timestamp
from etcdmanager.control.pause import Pause
from etcdmanager.leader import actions as a
from etcdmanager.leader.view import ClusterView

#: Everything that may be done while paused, in one place. A claimed restore is one thing that was begun: all of its steps may.
_ALLOWED = (
    a.Wait,
    a.Rest,
    # What was begun: half a formation, a member that was listed or taken off, a closed door, a question that waits for its answer.
    a.StartMembers,
    a.SealFormation,
    a.JoinLearner,
    a.PromoteLearner,
    a.StopRemoved,
    a.LiftQuarantine,
    a.AnswerMemberRequest,
    # Never the reverse: the marker is written from the living cluster, and without it nobody else would be safe.
    a.WriteMarker,
    # A claimed restore.
    a.TakeOverClaim,
    a.PrepareRestore,
    a.SaveBeforeRestore,
    a.SkipSave,
    a.Fence,
    a.PassPointOfNoReturn,
    a.CommitRestore,
    a.VerifyRestored,
    a.FinishRestore,
    a.AbortRestore,
    a.ForgetCommand,
    a.DropPreparation,
)
#: Rules that only finish what another one began with the same action.
_FINISHING_RULES = frozenset({"finish_peer_urls"})


def may_while_paused(action: a.Action, rule: str) -> bool:
    """Return whether `action`, as `rule` answers it, may be done while a pause holds.

    A backup is taken by schedule and on request; not the one that a change of versions or members wants first, since that change waits.
    """
    if isinstance(action, a.TakeBackup):
        return bool(action.requests) or action.why == "schedule"
    return isinstance(action, _ALLOWED) or rule in _FINISHING_RULES


def pause_in(view: ClusterView) -> Pause | None:
    """Return the pause that holds now; None without one."""
    return view.pause if view.pause is not None and view.pause.holds(view.now) else None


def without_unclaimed(view: ClusterView) -> ClusterView:
    """Return the view without the restores that nobody has claimed: they wait, and the running cluster is looked after meanwhile."""
    return replace(view, queue=tuple(q for q in view.queue if q.done or q.claim is not None))


def told(pause: Pause, held_back: tuple[str, ...]) -> a.Remark:
    """Return what status says of the pause; `held_back` are the things that would be done now without it."""
    why = f" ({pause.reason})" if pause.reason else ""
    held = f"; held back: {', '.join(held_back)}" if held_back else ""
    reason = f"by {pause.by} until {format_timestamp(pause.until)}{why}{held}"
    return a.Remark(code="paused", reason=reason, hint="etcd-manager resume")
