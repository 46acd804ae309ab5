"""Who belongs to a running cluster: what is said when it is not whole, and how an empty peer takes (or takes back) a place.

    empty peer ──add_learner──▶ listed, unstarted ──join_learner──▶ learner ──promote_learner──▶ voter
    listed, its disk replaced by an empty one ──remove_lost_member──▶ not listed ──▶ (as above)
    learner, its peer gone for good ──remove_stuck_learner──▶ not listed

One change at a time, each only while a healthy quorum stands before and after it, never a voter added directly
(laws R6 and R7; registers B-09, B-10, B-17). A learner that never comes up costs nothing: it does not vote.
"""

from __future__ import annotations

from datetime import timedelta

from etcdmanager.etcd.answers import Member
from etcdmanager.leader.actions import AddLearner, Answer, JoinLearner, PromoteLearner, Remark, RemoveMember, StopRemoved, TakeBackup, Wait
from etcdmanager.leader.rules.maintenance import backup_sources
from etcdmanager.leader.view import Holding, Peer, Running
from etcdmanager.quorum import quorum, survives_removal

#: etcd-manager's removeUnhealthyDeadline. Shorter, and a reboot would cost a member its place.
REPLACE_AFTER = timedelta(minutes=1)

#: How long a voter's machine may be away before another peer takes its place for good. A control-plane node that kops replaces is back
#: with the same volume and name within this; twice as long is twice as long without spare member.
REPLACE_DEAD_AFTER = timedelta(minutes=5)

#: Safeguard S5's idea of a recent backup, asked for before every change of membership (Go forces one each time).
RECENT_BACKUP = timedelta(minutes=5)


#: A learner starts from nothing and is sent everything; trash of an earlier life beside it does no harm.
_WITHOUT_CLUSTER = (Holding.EMPTY, Holding.REMAINS)


def report_strangers(view: Running) -> Answer:
    """Tell of peers that hold another incarnation's data; they are left alone."""
    strangers = view.strangers
    if not strangers:
        return None
    return Remark(
        code="other-incarnation",
        reason="; ".join(f"{p.id} holds cluster {p.cluster_token}, most hold {view.token}" for p in strangers),
        hint="its data is kept; once it is not wanted, move it away on that node, and it joins again",
    )


def report_twins(view: Running) -> Answer:
    """Tell of members that live elsewhere than where a manager of their name answers, and of managers that share a name."""
    found = [f"two managers are {t.id}: at {' and '.join(t.endpoints)}" for t in view.seen.twins]
    found += [
        f"the manager that says it is {m.name} does not run etcd member {m.id:x}, which answers at {probe.answers_at}"
        for m in view.seen.members or ()
        if (probe := view.seen.probe(m.id)) is not None and probe.answers_at and _is_displaced(view, m)
    ]
    if not found:
        return None
    return Remark(
        code="twins",
        reason="; ".join(found),
        hint="stop the manager that has the wrong disk; whoever has the data is the member, and nothing of it is changed meanwhile",
    )


def report_damaged(view: Running) -> Answer:
    """Tell of peers that cannot read their own state."""
    damaged = [p for p in view.seen.peers if p.holds is Holding.DAMAGED]
    if not damaged:
        return None
    return Remark(
        code="S1-damaged-state",
        reason="; ".join(f"{p.id}: {p.problem}" for p in damaged),
        hint="on that node, stop it and put state.previous back as state; or move state and data/ away, and it joins again",
    )


def report_missing_spec(view: Running) -> Answer:
    """Tell that nobody says how many members are wanted; the members that run are kept as they are."""
    if view.seen.spec is not None:
        return None
    reason = view.seen.spec_problem or "the control store has no cluster spec"
    return Remark(code="no-cluster-spec", reason=reason, hint="kops update cluster writes it again")


def report_absent(view: Running) -> Answer:
    """Tell of known peers that do not answer."""
    absent = view.seen.absent
    if not absent:
        return None
    return Remark(code="peer-absent", reason="; ".join(f"{a.id} since {a.since:%H:%M:%S}Z: {a.reason}" for a in absent))


def wait_without_quorum(view: Running) -> Answer:
    """Change nothing while the cluster cannot agree; the members' own managers go on restarting them."""
    if view.etcd_has_quorum:
        return None
    return Wait(
        code="no-quorum",
        reason=f"0 of {view.voters} members serve, {quorum(view.voters)} are needed; away: {_away(view)}",
        hint="bring a member's volume back; if none comes back: etcd-manager restore-backup latest",
    )


def wait_while_cut_off(view: Running) -> Answer:
    """Change no membership while we reach too few managers to see a quorum, though etcd has one; backups go on."""
    if view.has_quorum:
        return None
    member = min(p.id for p in view.healthy) if view.healthy else "nobody"
    return Wait(
        code="managers-cut-off",
        reason=(
            f"etcd has a quorum ({member} follows a raft leader), but only {len(view.healthy)} of {view.voters} members' managers "
            f"are reached; membership stays as it is; away: {_away(view)}"
        ),
        hint="look at the network and at etcd-manager-ca on each machine, and restore nothing: no data is lost",
    )


def _away(view: Running) -> str:
    """Return who does not serve or answer, and why, in words."""
    serving = {p.id for p in view.healthy}
    away = [f"{p.id}{': ' + p.problem if p.problem else ''}" for p in view.peers if p.id not in serving]
    return "; ".join([*away, *(a.id for a in view.seen.absent)]) or "unknown"


def promote_learner(view: Running) -> Answer:
    """Make a learner a voter as soon as its etcd runs; etcd itself refuses until it has caught up."""
    for member in learners(view):
        peer = _peer_of(view, member)
        if peer is not None and peer.etcd is not None and peer.etcd.leader_id != 0 and peer.etcd.is_learner:
            return PromoteLearner(member_id=member.id, name=member.name)
    return None


def report_failing_learner(view: Running) -> Answer:
    """Tell of learners whose etcd does not start; they do not vote, so nothing is lost but time."""
    failing = [(member.name or peer.id, peer.problem) for member in learners(view) if (peer := _peer_of(view, member)) and peer.problem]
    if not failing:
        return None
    return Remark(code="learner-does-not-start", reason="; ".join(f"{name}: {problem}" for name, problem in failing))


def join_learner(view: Running) -> Answer:
    """Finish an interrupted addition: a learner that is listed, and its peer still empty."""
    for member in learners(view):
        peer = _peer_of(view, member)
        if peer is not None and peer.holds in _WITHOUT_CLUSTER and not member.name:
            return JoinLearner(peer=peer.id, member_id=member.id)
    return None


def remove_lost_member(view: Running) -> Answer:
    """Take a member off the list whose disk came back empty: with the old identity and no log it must never vote again.

    Exactly one candidate is acted on; several mean that something else is wrong (Go's rule since April 2026).
    """
    candidates = [m for m in view.seen.members or () if _is_lost(view, m)]
    if not candidates:
        return None
    if len(candidates) > 1:
        return Remark(
            code="several-members-lost", reason=f"{', '.join(m.name for m in candidates)} came back empty; replace them one by one"
        )
    member = candidates[0]
    removes_voter = not member.is_learner
    if removes_voter and not survives_removal(voters=view.voters, healthy=len(view.healthy), removes_healthy=False):
        return Remark(
            code="S4-removal-costs-quorum", reason=f"{member.name} came back empty, but without it there would be no healthy quorum"
        )
    return _after_recent_backup(view, RemoveMember(member_id=member.id, name=member.name, why="its disk came back empty"))


def remove_stuck_learner(view: Running) -> Answer:
    """Take a learner off the list that nobody answers for, where another peer could take its place; it does not vote."""
    since = dict(view.seen.unhealthy_since)
    for member in learners(view):
        gone = member.id in since and view.seen.now - since[member.id] >= REPLACE_AFTER and _peer_of(view, member) is None
        if gone and _is_silent(view, member) and free_peers(view):
            return RemoveMember(member_id=member.id, name=member.name, why="nobody answers for this learner, and another peer is free")
    return None


def add_learner(view: Running) -> Answer:
    """Add one empty peer as a learner while the list is shorter than the spec, and no other addition is under way."""
    members, spec = view.seen.members, view.seen.spec
    if members is None or spec is None or len(members) >= spec.member_count or learners(view):
        return None
    free = free_peers(view)
    if not free:
        return Remark(
            code="no-peer-to-add", reason=f"Want to expand cluster but no available nodes: {len(members)} of {spec.member_count} members"
        )
    return _after_recent_backup(view, AddLearner(peer=min(p.id for p in free)))


def remove_superfluous_member(view: Running) -> Answer:
    """Shrink to the spec: first a member without any peer, then the highest name that does not lead raft.

    Members are counted, not peers: Go counts configured peers and never stops removing (registers B-11, B-12).
    """
    members, spec = view.seen.members, view.seen.spec
    if members is None or spec is None or spec.member_count < 1 or len(members) <= spec.member_count:
        return None
    chosen = max(members, key=lambda m: _order_of_removal(view, m))
    return removal(view, chosen, why=f"{len(members)} members, {spec.member_count} wanted")


def replace_dead_member(view: Running) -> Answer:
    """Take a voter off a full list whose machine is gone, where an empty peer of another name can take its place (register B-15).

    etcd itself takes no new member, not even a learner, while a voter does not answer (its strict reconfiguration check), so the
    dead one goes first. That costs no safety: it did not vote any more, and as few others may fail as before.
    """
    members, spec = view.seen.members, view.seen.spec
    if members is None or spec is None or len(members) < spec.member_count or learners(view) or not free_peers(view):
        return None
    dead = sorted((m for m in members if not m.is_learner and _is_dead(view, m)), key=lambda m: m.name)
    return removal(view, dead[0], why="its machine is gone, and another peer is free") if dead else None


def removal(view: Running, member: Member, *, why: str) -> Answer:
    """Return the removal of a member, after a recent backup; a Remark where it would cost the quorum (safeguard S4)."""
    peer = _peer_of(view, member)
    removes_healthy = peer is not None and peer in view.healthy
    if not member.is_learner and not survives_removal(voters=view.voters, healthy=len(view.healthy), removes_healthy=removes_healthy):
        return Remark(code="S4-removal-costs-quorum", reason=f"{why}; but removing {member.name} would cost quorum")
    return _after_recent_backup(view, RemoveMember(member_id=member.id, name=member.name, why=why))


def stop_removed_member(view: Running) -> Answer:
    """Have a peer stop whose member is no longer listed; Go leaves it, and it is started again every ten seconds (B-11).

    The list is one that a quorum agreed on, or there is none; a member that was just added is listed by its URLs. A machine that
    got another name runs a listed member all the same: while its etcd does not tell its id, it may be any row that nobody answers for.
    """
    members = view.seen.members
    if not members or not view.has_quorum:
        return None
    names, ids = {m.name for m in members}, {m.id for m in members}
    urls = {url for m in members if not m.name for url in m.peer_urls}
    unlisted = [p for p in view.peers if p.node.name not in names and not set(p.node.peer_urls) & urls]
    unclaimed = [m.name or f"{m.id:x}" for m in members if _peer_of(view, m) is None]
    removed = [p.id for p in unlisted if (p.etcd.member_id not in ids if p.etcd is not None else not unclaimed)]
    if removed:
        return StopRemoved(peer=min(removed))
    if unlisted:
        who = ", ".join(sorted(p.id for p in unlisted))
        return Remark(
            code="unlisted-member",
            reason=f"{who} is not listed, and may be {', '.join(unclaimed) or 'one'} under another name",
            hint="etcd-manager members; give it its name back, or bring that member back",
        )
    return None


def wait_for_store(view: Running) -> Answer:
    """Do nothing else while the store is away."""
    del view
    return store_is_away()


def store_is_away() -> Wait:
    """Return the wait for the store."""
    return Wait(
        code="store-away",
        reason="the control store does not answer: backups, restores and changes of the spec wait; lost members are still replaced",
        hint="look at the backup store's reachability and credentials",
    )


def _after_recent_backup(view: Running, action: Answer) -> Answer:
    """Return `action` where a recent backup exists, else the backup that must come first; without the store none can be had."""
    if view.seen.store_away:
        return action
    newest = view.seen.backed_up_at
    if newest is not None and view.seen.now - newest <= RECENT_BACKUP:
        return action
    return TakeBackup(peers=backup_sources(view.healthy), why="before-membership-change")


def free_peers(view: Running) -> tuple[Peer, ...]:
    """Return the answering peers that belong to no cluster and are not listed."""
    members = view.seen.members or ()
    names = {m.name for m in members}
    urls = {url for m in members if not m.name for url in m.peer_urls}
    return tuple(
        p
        for p in view.seen.peers
        if p.holds in _WITHOUT_CLUSTER and p.node.name not in names and not set(p.node.peer_urls) & urls and not view.seen.has_twin(p.id)
    )


def learners(view: Running) -> tuple[Member, ...]:
    """Return the listed learners, by id."""
    return tuple(m for m in view.seen.members or () if m.is_learner)


def _peer_of(view: Running, member: Member) -> Peer | None:
    """Return the answering peer that a row is about: by name, or, for one that never started, by peer URL."""
    if member.name:
        return next((p for p in view.seen.peers if p.node.name == member.name), None)
    return next((p for p in view.seen.peers if set(p.node.peer_urls) & set(member.peer_urls)), None)


def _is_lost(view: Running, member: Member) -> bool:
    """Return whether the member's peer answers with an empty disk, long enough after it last served."""
    peer = _peer_of(view, member)
    if peer is None or peer.holds is not Holding.EMPTY or not member.name:
        return False
    since = dict(view.seen.unhealthy_since).get(member.id)
    return since is not None and view.seen.now - since >= REPLACE_AFTER and _is_silent(view, member) and not view.seen.has_twin(peer.id)


def _is_dead(view: Running, member: Member) -> bool:
    """Return whether neither the member nor any manager of its name has answered for long enough to be given up."""
    since = dict(view.seen.unhealthy_since).get(member.id)
    long_ago = since is not None and view.seen.now - since >= REPLACE_DEAD_AFTER
    return bool(member.name) and long_ago and _peer_of(view, member) is None and _is_silent(view, member)


def _is_silent(view: Running, member: Member) -> bool:
    """Return whether the member was asked itself and nothing of it answers; its manager's word alone takes nobody off the list."""
    probe = view.seen.probe(member.id)
    return probe is not None and not probe.answers_at


def _is_displaced(view: Running, member: Member) -> bool:
    """Return whether the manager that answers under the member's name is not the one that runs it."""
    peer = _peer_of(view, member)
    return peer is not None and (peer.holds is not Holding.CLUSTER or (peer.etcd is not None and peer.etcd.member_id != member.id))


def _order_of_removal(view: Running, member: Member) -> tuple[bool, bool, bool, str]:
    """Return a key that is greatest for the member that is missed least: no peer, not serving, not raft's leader, last by name."""
    peer = _peer_of(view, member)
    leads = peer is not None and peer.etcd is not None and peer.etcd.leader_id == member.id
    return (peer is None, peer not in view.healthy, not leads, member.name)
