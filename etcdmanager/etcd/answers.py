"""What etcd answers, as values of ours. No protobuf type leaves `etcdmanager.etcd`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Alarm(Enum):
    """etcd's own alarms; they persist until someone disarms them."""

    #: The database reached its quota: the cluster refuses writes.
    NOSPACE = 1
    #: Members disagree about what is stored.
    CORRUPT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An entry of etcd's member list. `name` is "" for a member that was added and has never started."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    is_learner: bool

    @property
    def started(self) -> bool:
        """Whether it has ever joined: etcd learns a member's name from the member itself."""
        return self.name != ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberList:
    """The member list, and who gave it."""

    cluster_id: int
    #: The id of the member that answered.
    answered_by: int
    members: tuple[Member, ...]

    def by_name(self, name: str) -> Member | None:
        """Return the member of that name; None where there is none, or none that has started."""
        return next((member for member in self.members if member.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStatus:
    """One member's own view of itself. It answers without quorum, and is never linearizable."""

    cluster_id: int
    member_id: int
    #: The version that runs, not the one that was asked for.
    version: str
    revision: int
    #: 0 where the member knows of no raft leader.
    leader_id: int
    raft_term: int
    raft_index: int
    raft_applied_index: int
    db_size_bytes: int
    db_in_use_bytes: int
    #: 0 where etcd does not say (before 3.6).
    db_quota_bytes: int
    is_learner: bool
    #: The version whose format the database has; "" before 3.6.
    storage_version: str
    #: What the cluster is being taken down to; "" where it is not, or before 3.6.
    downgrade_target: str
    #: etcd's own list of complaints, such as "etcdserver: no leader" and raised alarms.
    errors: tuple[str, ...]

    @property
    def has_leader(self) -> bool:
        """Whether the member sees a raft leader."""
        return self.leader_id != 0

    @property
    def is_leader(self) -> bool:
        """Whether the member is the raft leader."""
        return self.leader_id == self.member_id


@dataclass(frozen=True, slots=True, kw_only=True)
class RaisedAlarm:
    """An alarm that a member raised."""

    member_id: int
    alarm: Alarm


def alarms_in(errors: Iterable[str]) -> tuple[RaisedAlarm, ...]:
    """Return the alarms that a status' complaints tell of ("memberID:10276657743932975437 alarm:NOSPACE"), sorted, each once.

    Asking etcd for its alarms is a write through raft; its status is not.
    """
    found = {
        RaisedAlarm(member_id=int(match[1]), alarm=Alarm[match[2]])
        for text in errors
        if (match := re.search(r"memberID:(\d+)\s+alarm:(NOSPACE|CORRUPT)", text))
    }
    return tuple(sorted(found, key=lambda raised: (raised.member_id, raised.alarm.value)))


@dataclass(frozen=True, slots=True, kw_only=True)
class HashKV:
    """A hash over all keys up to a revision; equal on members that hold the same."""

    hash: int
    #: The revision that was asked for, or the member's current one.
    revision: int
    compact_revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValue:
    """A key and what etcd knows of it. `lease_id` is 0 without a lease."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a range, in key order, all of one revision."""

    keys: tuple[KeyValue, ...]
    revision: int
    #: Whether more keys of the range follow.
    more: bool
    #: How many keys the whole range has, from this page's first key on.
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease. `ttl_seconds` is what is left, -1 for one that is gone; `granted_seconds` what it began with."""

    id: int
    ttl_seconds: int
    granted_seconds: int
    keys: tuple[bytes, ...] = ()
