"""Whether all members hold the same keys: HashKV of all at one revision, on every version of etcd, by the clock and at each change.

Members that differ are told of, with who is odd. Nothing is deleted by itself: which of them is right, and whether what the odd one
alone has is wanted, only an operator can say. etcd's own checks (features.hash_checks) stop a member before it serves wrong data.
"""

from __future__ import annotations

from datetime import timedelta

from etcdmanager.etcd.answers import Alarm
from etcdmanager.leader.actions import Answer, CompareHashes, Remark
from etcdmanager.leader.view import Running

#: After a change of leader: it costs each member a read of its database, so not at each flap of the lock.
_FIRST_AFTER = timedelta(minutes=5)
#: Where members differ, or raise the alarm, it is soon looked again.
_AGAIN_AFTER = timedelta(minutes=5)


def report_difference(view: Running) -> Answer:
    """Tell of members that hold other keys than the rest, until a comparison finds them equal again."""
    found = view.seen.upkeep.hashes
    if found is None or not found.odd:
        return None
    odd = ", ".join(found.odd)
    if found.follows_versions:
        return Remark(
            code="members-differ-by-version",
            reason=f"at revision {found.revision} {odd} holds other keys than the rest, as their versions differ",
            hint="the next compaction may end it, if only their way of compacting differs; it is compared again",
        )
    everybody = len(found.odd) == len(found.hashes)
    hint = (
        "no two agree: keep all data directories, and restore a backup"
        if everybody
        else f"etcd-manager diff compares a backup of each; then: etcd-manager replace-member {found.odd[0]}"
    )
    return Remark(code="members-differ", reason=f"at revision {found.revision} {odd} holds other keys than the rest", hint=hint)


def report_corrupt_alarm(view: Running) -> Answer:
    """Tell of etcd's alarm CORRUPT; it stops all writes, and is never cleared by us."""
    raised = [a.member_id for a in view.seen.alarms if a.alarm is Alarm.CORRUPT]
    if not raised:
        return None
    names = {m.id: m.name for m in view.seen.members or ()}
    who = ", ".join(names.get(member) or f"{member:x}" for member in raised)
    odd = view.seen.upkeep.hashes.odd if view.seen.upkeep.hashes is not None else ()
    odd_text = f"; by our comparison {', '.join(odd)} is odd" if odd else ""
    return Remark(
        code="etcd-corrupt",
        reason=f"etcd raised CORRUPT for {who} and takes no writes{odd_text}",
        hint=f"etcd-manager replace-member {odd[0] if odd else 'NAME'}, then etcdctl alarm disarm; or restore a backup",
    )


def compare_hashes(view: Running) -> Answer:
    """Have the keys compared once an interval while all members serve; sooner where something is wrong."""
    members = view.seen.members
    if members is None or len(view.healthy) < 2 or len(view.healthy) < len(members):
        return None
    upkeep, now = view.seen.upkeep, view.seen.now
    if upkeep.hashes is not None:
        doubtful = not upkeep.hashes.equal or any(a.alarm is Alarm.CORRUPT for a in view.seen.alarms)
        due = upkeep.hashes.at + (min(_AGAIN_AFTER, upkeep.policy.compare_hashes_every) if doubtful else upkeep.policy.compare_hashes_every)
    elif upkeep.since is None:
        return None
    else:
        due = upkeep.since + min(_FIRST_AFTER, upkeep.policy.compare_hashes_every)
    return CompareHashes(peers=tuple(sorted(p.id for p in view.healthy))) if now >= due else None
