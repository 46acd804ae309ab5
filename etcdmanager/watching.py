"""How a cluster looks at one moment and how that changes from look to look, as a table and as one line of JSON; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from agents.cli import table
from agents.durations import format_age
from agents.timestamps import format_timestamp
from etcdmanager.commands.figures import count_text, size_text
from etcdmanager.told import ToldCluster

_HEADERS = ("MEMBER", "ROLE", "STATE", "TERM", "INDEX", "LAG", "REVISION", "DB", "IN USE", "DB/h", "RTT", "")
_RIGHT = {"TERM", "INDEX", "LAG", "REVISION", "DB", "IN USE", "DB/h", "RTT"}
#: A line of a table; `etcd-manager members` has the whole of it.
_PROBLEM = 100
#: A rate from less time than this says more about the looks than about the database.
_RATE_FROM = timedelta(seconds=20)
_RATE_OVER = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLook:
    """One member."""

    name: str
    role: str
    serves: bool
    raft_term: int = 0
    raft_index: int = 0
    revision: int = 0
    db_size_bytes: int = 0
    db_in_use_bytes: int = 0
    #: How long its etcd took to answer; None where it was not asked.
    answered_in: timedelta | None = None
    #: None before two looks that are far enough from each other.
    growth_per_hour_bytes: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The cluster at one moment."""

    at: datetime
    #: Who told: "asked" for the members themselves, else the manager that told the store, and when.
    told_by: str
    told_at: datetime
    #: Of raft; "" where there is none.
    raft_leader: str
    #: The manager that leads; "" for nobody.
    manager: str
    members: tuple[MemberLook, ...]
    #: "NOSPACE etcd-a"
    alarms: tuple[str, ...] = ()
    #: Of this node's etcd, since the look before; None where it does not tell.
    fsync_p99_seconds: float | None = None
    commit_p99_seconds: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def highest_index(self) -> int:
        """Return how far the furthest member is in raft's log."""
        return max((member.raft_index for member in self.members if member.serves), default=0)


@dataclass(frozen=True, slots=True)
class Sizes:
    """The databases' sizes in the looks of the last hour, oldest first, by member."""

    seen: Mapping[str, tuple[tuple[datetime, int], ...]] = field(default_factory=dict)

    def with_look(self, look: Look) -> tuple[Sizes, Look]:
        """Return the sizes with a look's, and the look with how fast each database grows."""
        found = dict(self.seen)
        members = []
        for member in look.members:
            if not member.serves:
                members.append(member)
                continue
            rows = (
                *(row for row in found.get(member.name, ()) if look.told_at - row[0] < _RATE_OVER),
                (look.told_at, member.db_size_bytes),
            )
            found[member.name] = rows
            members.append(replace(member, growth_per_hour_bytes=_rate(rows)))
        return Sizes(found), replace(look, members=tuple(members))


def _rate(rows: tuple[tuple[datetime, int], ...]) -> int | None:
    (first_at, first), (last_at, last) = rows[0], rows[-1]
    elapsed = last_at - first_at
    return round((last - first) * (timedelta(hours=1) / elapsed)) if elapsed >= _RATE_FROM else None


def look_from_told(told: ToldCluster, *, told_by: str, told_at: datetime, manager: str, now: datetime) -> Look:
    """Return the look that the leading manager's status is."""
    return Look(
        at=now,
        told_by=told_by,
        told_at=told_at,
        raft_leader=told.raft_leader,
        manager=manager,
        alarms=tuple(f"{alarm} {member}" for member, alarm in told.alarms),
        members=tuple(
            MemberLook(
                name=m.name,
                role=m.role,
                serves=m.serves,
                raft_term=m.raft_term,
                raft_index=m.raft_index,
                revision=m.revision,
                db_size_bytes=m.db_size_bytes,
                db_in_use_bytes=m.db_in_use_bytes,
                problem=m.problem or ("quarantined" if m.quarantined else ""),
            )
            for m in told.members
        ),
    )


def text_of(title: str, look: Look) -> str:
    """Return the look for people."""
    age = look.at - look.told_at
    source = "asked just now" if look.told_by == "asked" else f"told by {look.told_by or 'nobody'} {format_age(age)} ago"
    at = format_timestamp(look.at.replace(microsecond=0))
    head = f"{title}   {at}   raft leader {look.raft_leader or '–'}   manager {look.manager or '–'}"
    rows = [_row(look, member) for member in look.members]
    speeds = [
        f"{what} p99 {seconds * 1000:.1f} ms"
        for what, seconds in (("fsync", look.fsync_p99_seconds), ("commit", look.commit_p99_seconds))
        if seconds is not None
    ]
    alarms = f"ALARMS {', '.join(look.alarms)}" if look.alarms else "no alarms"
    lines = [f"{head}   ({source})", table(_HEADERS, rows, right=_RIGHT), "   ".join([alarms, *speeds])]
    return "\n".join([*lines, *(f"! {note}" for note in look.notes)])


def _row(look: Look, member: MemberLook) -> tuple[object, ...]:
    if not member.serves:
        return (member.name, member.role or None, "away", *[None] * 8, member.problem[:_PROBLEM])
    growth = member.growth_per_hour_bytes
    return (
        member.name,
        "leader" if member.name == look.raft_leader else member.role,
        "ok",
        member.raft_term,
        count_text(member.raft_index),
        count_text(look.highest_index - member.raft_index),
        count_text(member.revision),
        size_text(member.db_size_bytes),
        size_text(member.db_in_use_bytes),
        None if growth is None else f"{'-' if growth < 0 else '+'}{size_text(abs(growth))}",
        None if member.answered_in is None else f"{member.answered_in.total_seconds() * 1000:.1f}ms",
        member.problem,
    )


def document_of(look: Look) -> dict[str, object]:
    """Return the look for programs."""
    return {
        "at": format_timestamp(look.at),
        "toldBy": look.told_by,
        "toldAt": format_timestamp(look.told_at),
        "raftLeader": look.raft_leader,
        "manager": look.manager,
        "alarms": list(look.alarms),
        "fsyncP99Seconds": look.fsync_p99_seconds,
        "commitP99Seconds": look.commit_p99_seconds,
        "notes": list(look.notes),
        "members": [
            {
                "name": m.name,
                "role": m.role,
                "serves": m.serves,
                "raftTerm": m.raft_term,
                "raftIndex": m.raft_index,
                "lag": look.highest_index - m.raft_index if m.serves else None,
                "revision": m.revision,
                "dbSizeBytes": m.db_size_bytes,
                "dbInUseBytes": m.db_in_use_bytes,
                "dbGrowthPerHourBytes": m.growth_per_hour_bytes,
                "answeredInSeconds": None if m.answered_in is None else round(m.answered_in.total_seconds(), 6),
                "problem": m.problem,
            }
            for m in look.members
        ],
    }
