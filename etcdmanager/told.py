"""What the leading manager last told of a cluster, as typed rows: for verbs and the doctor. Pure and total.

A document of another version, or a damaged one, is not refused: what does not fit is zero, empty or false.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldMember:
    """One manager and its etcd, as the leader saw them."""

    name: str
    answers: bool
    serves: bool
    #: voter, learner, none; "" for one that does not answer.
    role: str
    quarantined: bool
    #: What its etcd runs, and what it is told to run.
    version: str
    asked_version: str
    #: etcd's id in hexadecimal; "" where it does not serve.
    member_id: str
    raft_term: int
    raft_index: int
    revision: int
    db_size_bytes: int
    db_in_use_bytes: int
    #: 0 where it does not say.
    quota_bytes: int
    disk_free_bytes: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldCluster:
    """All members together."""

    #: NoCluster, Restoring or Running; "" where nothing was told.
    phase: str
    has_quorum: bool
    raft_leader: str
    voters: int
    #: 0 and "" where there is no spec.
    wanted_members: int
    wanted_version: str
    #: (member, alarm).
    alarms: tuple[tuple[str, str], ...]
    #: Members whose keys differ from the others'.
    odd: tuple[str, ...]
    members: tuple[ToldMember, ...]

    @property
    def serving(self) -> tuple[ToldMember, ...]:
        """Return the members that serve."""
        return tuple(m for m in self.members if m.serves)

    @property
    def highest_index(self) -> int:
        """Return how far the furthest member is in raft's log."""
        return max((m.raft_index for m in self.serving), default=0)


def told_cluster(document: Mapping[str, object]) -> ToldCluster:
    """Return the cluster part of a leader's status."""
    wanted, hashes = _mapping(document.get("wanted")), _mapping(document.get("hashes"))
    alarms = tuple((_text(row, "member"), _text(row, "alarm")) for row in _rows(document.get("alarms")))
    odd = hashes.get("odd")
    return ToldCluster(
        phase=_text(document, "phase"),
        has_quorum=document.get("hasQuorum") is True,
        raft_leader=_text(document, "raftLeader"),
        voters=_number(document, "voters"),
        wanted_members=_number(wanted, "members"),
        wanted_version=_text(wanted, "version"),
        alarms=alarms,
        odd=tuple(str(name) for name in odd) if isinstance(odd, list) else (),
        members=tuple(_member(row) for row in _rows(document.get("members"))),
    )


def _member(row: Mapping[str, object]) -> ToldMember:
    return ToldMember(
        name=_text(row, "name"),
        answers=row.get("answers") is True,
        serves=row.get("serves") is True,
        role=_text(row, "role"),
        quarantined=row.get("quarantined") is True,
        version=_text(row, "version"),
        asked_version=_text(row, "askedVersion"),
        member_id=_text(row, "memberId"),
        raft_term=_number(row, "raftTerm"),
        raft_index=_number(row, "raftIndex"),
        revision=_number(row, "revision"),
        db_size_bytes=_number(row, "dbSizeBytes"),
        db_in_use_bytes=_number(row, "dbInUseBytes"),
        quota_bytes=_number(row, "quotaBytes"),
        disk_free_bytes=_number(row, "freeBytes"),
        problem=_text(row, "problem"),
    )


def _mapping(value: object) -> Mapping[str, object]:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}


def _rows(value: object) -> tuple[Mapping[str, object], ...]:
    return tuple(_mapping(row) for row in value if isinstance(row, Mapping)) if isinstance(value, list | tuple) else ()


def _text(row: Mapping[str, object], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _number(row: Mapping[str, object], name: str) -> int:
    value = row.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
