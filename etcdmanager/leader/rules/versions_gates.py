"""What must be so before a member of a healthy cluster is restarted with another version: each gate a function with a code of its own.

    all members wanted are there ▸ no learner ▸ no alarm ▸ every member serves and has caught up ▸ binaries ▸ room
      ▸ all hold the same keys (HashKV) ▸ a verified backup of the last five minutes (S5) ▸ the change

A gate answers None where it is open, a Remark where somebody else must act or time must pass, or the Action that opens it. They are asked
before each single member, so that the step before is judged by what is seen, not by what an RPC answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from agents.versions import Version
from etcdmanager.etcd.features import line
from etcdmanager.leader.actions import Answer, CompareHashes, Remark, TakeBackup
from etcdmanager.leader.rules.maintenance import backup_sources
from etcdmanager.leader.rules.versions_path import parsed
from etcdmanager.leader.upkeep import HashComparison
from etcdmanager.leader.view import Peer, Running

#: Safeguard S5.
FRESH_BACKUP = timedelta(minutes=5)
#: How far apart members may be in raft entries: statuses are a moment apart, and a busy cluster makes some thousands in a second.
CAUGHT_UP_WITHIN = 5000
#: Two preallocated log files of 64 MB and a snapshot's worth of slack beside the database.
ROOM_BESIDE_DATABASE_BYTES = 256 << 20
#: A comparison of hashes counts so long while nothing is restarted.
FRESH_HASHES = timedelta(minutes=5)
#: How soon members that differed are compared again: a compaction may make them equal where only the way of compacting differs.
COMPARE_AGAIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One member that is about to be restarted. `to` None: with the same version, for another reason."""

    peer: Peer
    to: Version | None = None
    #: Whether it is down because of the very change that is taken back: then only the others must be well.
    back: bool = False

    @property
    def what(self) -> str:
        """Return what is held up, for messages."""
        return f"{self.peer.id} to etcd {self.to}" if self.to is not None else self.peer.id


def count_is_full(view: Running, change: Change) -> Answer:
    """Hold while members are missing: one that restarts must not be the one that quorum hangs on."""
    spec, members = view.seen.spec, view.seen.members
    if members is None:
        return Remark(code="upgrade-waits-for-members", reason=f"{change.what}: etcd's list of members is not known")
    if spec is not None and len(members) < spec.member_count:
        return Remark(
            code="upgrade-waits-for-members",
            reason=f"{change.what}: {len(members)} of {spec.member_count} members are there",
            hint="start another manager, or ask for fewer members",
        )
    return None


def no_learner(view: Running, change: Change) -> Answer:
    """Hold while a member is being added: it neither votes nor has all data."""
    learners = [m.name or f"{m.id:x}" for m in view.seen.members or () if m.is_learner]
    if learners:
        return Remark(code="upgrade-waits-for-learner", reason=f"{change.what}: {', '.join(learners)} is still a learner")
    return None


def no_alarm(view: Running, change: Change) -> Answer:
    """Hold while etcd raises an alarm: no space, or damage."""
    raised = sorted({a.alarm.name for a in view.seen.alarms})
    if raised:
        return Remark(code="upgrade-waits-for-alarms", reason=f"{change.what}: etcd raises {', '.join(raised)}")
    return None


def all_serve(view: Running, change: Change) -> Answer:
    """Hold until every listed member serves clients with the version that it was told to run, and has caught up."""
    waiting = []
    furthest = max((p.etcd.raft_index for p in view.peers if p.etcd is not None), default=0)
    for member in view.seen.members or ():
        peer = next((p for p in view.peers if p.node.name == member.name), None)
        if change.back and peer == change.peer:
            continue
        trouble = "its manager does not answer" if peer is None else _unsettled(peer, furthest)
        if trouble:
            waiting.append(f"{member.name or f'{member.id:x}'} {trouble}")
    if not waiting:
        return None
    return Remark(
        code="upgrade-waits-for-member",
        reason=f"{change.what}: {'; '.join(waiting)}",
        hint="one that does not come up with a new version is taken back by asking for the old one: etcd-manager upgrade --to VERSION",
    )


def binaries_are_there(view: Running, change: Change) -> Answer:
    """Hold until every member has that version, by what the binaries themselves say: one version's worth of members is no place to stop."""
    if change.to is None:
        return None
    lacking = [p.id for p in view.peers if change.to not in p.versions]
    if lacking:
        return Remark(
            code="upgrade-needs-binaries",
            reason=f"etcd {change.to} is not installed on {', '.join(lacking)}",
            hint=f"put it into /opt/etcd-v{change.to} there; it is found within seconds",
        )
    return None


def disk_has_room(view: Running, change: Change) -> Answer:
    """Hold while the member's disk could not take its database once more and new log files."""
    del view
    peer = change.peer
    if not peer.disk_free_bytes:
        return None
    needed = (peer.etcd.db_size_bytes if peer.etcd is not None else 0) + ROOM_BESIDE_DATABASE_BYTES
    if peer.disk_free_bytes >= needed:
        return None
    return Remark(
        code="upgrade-needs-room",
        reason=f"{change.what}: {peer.disk_free_bytes >> 20} MiB are free on its disk, {needed >> 20} MiB are wanted",
        hint="grow the volume, or delete the oldest in data-trashcan/",
    )


def hashes_are_equal(view: Running, change: Change) -> Answer:
    """Have the members' keys compared since the last restart, and hold where they differ."""
    if change.back or len(view.healthy) < 2:
        return None
    found = view.seen.upkeep.hashes
    members = {p.id: p.etcd.version for p in view.healthy if p.etcd is not None}
    compare = CompareHashes(peers=tuple(sorted(members)))
    if found is None or not found.covers(members) or view.seen.now - found.at > FRESH_HASHES:
        return compare
    if found.equal:
        return None
    return compare if view.seen.now - found.at > COMPARE_AGAIN else _difference(change, found)


def backup_is_fresh(view: Running, change: Change) -> Answer:
    """Have a backup taken and proven unless there is one of the last five minutes (S5); of the oldest version, which can read it."""
    taken = view.seen.upkeep.verified_backup_at
    if taken is not None and view.seen.now - taken <= FRESH_BACKUP:
        return None
    lowest = min((version for p in view.healthy if (version := _version(p)) is not None), default=None)
    sources = tuple(p for p in view.healthy if _version(p) == lowest)
    why = "pre-upgrade" if change.to is not None else "pre-restart"
    return TakeBackup(peers=backup_sources(sources), why=why) if sources else None


GATES: tuple[Callable[[Running, Change], Answer], ...] = (
    count_is_full,
    no_learner,
    no_alarm,
    all_serve,
    binaries_are_there,
    disk_has_room,
    hashes_are_equal,
    backup_is_fresh,
)


def first_closed(view: Running, change: Change) -> Answer:
    """Return the answer of the first gate that is not open, None where all are."""
    for gate in GATES:
        answer = gate(view, change)
        if answer is not None:
            return answer
    return None


def _difference(change: Change, found: HashComparison) -> Remark:
    if not found.comparable:
        return Remark(code="upgrade-waits-for-compaction", reason=f"{change.what}: the members are at different compactions")
    reason = f"{change.what}: at revision {found.revision} {', '.join(found.odd)} holds other keys than the rest"
    if found.follows_versions:
        return Remark(
            code="members-differ-by-version",
            reason=reason,
            hint="as their versions differ; the next compaction may end it, if only their way of compacting differs",
        )
    return Remark(code="members-differ", reason=reason, hint="replace that member before anything else is changed")


def _unsettled(peer: Peer, furthest: int) -> str:
    """Return why a member is not what it should be yet, "" where it is."""
    if peer.quarantined:
        return "is in quarantine"
    status = peer.etcd
    if status is None or not peer.serves:
        return f"does not serve{': ' + peer.problem if peer.problem else ''}"
    asked, runs = parsed(peer.etcd_version), parsed(status.version)
    # kops puts a newer patch under an older name: that counts as what was asked for.
    if asked is not None and runs is not None and (line(runs) != line(asked) or runs < asked):
        return f"runs {runs}, and was told to run {asked}"
    behind = furthest - status.raft_applied_index
    return f"is {behind} entries behind" if behind > CAUGHT_UP_WITHIN else ""


def _version(peer: Peer) -> Version | None:
    return parsed(peer.etcd.version) if peer.etcd is not None else None
