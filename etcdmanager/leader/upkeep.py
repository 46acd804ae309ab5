"""What a leader knows for version changes and maintenance beyond what peers say of themselves: values only.

It is a part of the ClusterView of its own, because most rules never look at it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agents.versions import Version
from etcdmanager.spec import DEFAULT_COMPACT_OLDER_THAN, DEFAULT_DEFRAGMENT_AFTER, DEFAULT_HASH_COMPARISON_INTERVAL

_REVISION_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepPolicy:
    """How often, and from when on, a running cluster is maintained."""

    #: HashKV reads the whole database: about a second for 400 MB on each member, once an hour.
    compare_hashes_every: timedelta = DEFAULT_HASH_COMPARISON_INTERVAL
    #: A defragmented file that is half empty again so soon is written to that way, and would be again.
    defragment_every: timedelta = timedelta(hours=24)
    #: Between two members, so that clients of the first have come back.
    defragment_gap: timedelta = timedelta(minutes=1)
    #: Below this size a file full of holes costs nobody anything; a defragmentation would.
    defragment_from_bytes: int = 256 << 20
    #: At most so much of the file is in use. Kubernetes' own writes keep a healthy file at 60 to 90 %.
    defragment_below: float = 0.5
    #: How long a new leader waits before it defragments: what its predecessor began may go on so long (etcd.client.DEFRAGMENT).
    defragment_after: timedelta = DEFAULT_DEFRAGMENT_AFTER
    #: Whether the leader compacts where the quota is reached. Kubernetes does so every five minutes, but by a write, which etcd then
    #: refuses: without this a cluster does not come out of NOSPACE by itself.
    may_compact: bool = True
    #: Revisions that were the newest so long ago may be forgotten; Kubernetes keeps five minutes.
    compact_older_than: timedelta = DEFAULT_COMPACT_OLDER_THAN


DEFAULT_UPKEEP = UpkeepPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberHash:
    """What one member says its keys hash to."""

    peer: str
    version: str
    hash: int
    compact_revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HashComparison:
    """HashKV of all members at one revision, sorted by peer."""

    at: datetime
    revision: int
    hashes: tuple[MemberHash, ...]

    @property
    def comparable(self) -> bool:
        """Return whether the members had forgotten the same revisions; otherwise equal data may hash differently."""
        return len({h.compact_revision for h in self.hashes}) <= 1

    @property
    def equal(self) -> bool:
        """Return whether all members hold the same keys."""
        return self.comparable and len({h.hash for h in self.hashes}) <= 1

    @property
    def odd(self) -> tuple[str, ...]:
        """Return the members that hold something else than most do; all of them where there is no majority."""
        if not self.comparable or self.equal:
            return ()
        most, count = Counter(h.hash for h in self.hashes).most_common(1)[0]
        if count * 2 <= len(self.hashes):
            return tuple(h.peer for h in self.hashes)
        return tuple(h.peer for h in self.hashes if h.hash != most)

    @property
    def follows_versions(self) -> bool:
        """Return whether the members differ exactly as their versions do: then it may be how a version hashes, or compacts."""
        by_version: dict[str, set[int]] = {}
        for one in self.hashes:
            by_version.setdefault(one.version, set()).add(one.hash)
        return len(by_version) > 1 and all(len(found) == 1 for found in by_version.values())

    def covers(self, members: dict[str, str]) -> bool:
        """Return whether it was made of exactly these members at these versions (peer id -> version)."""
        return {h.peer: h.version for h in self.hashes} == members


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """What was seen and done lately; a new leader begins with nothing, and looks again."""

    policy: UpkeepPolicy = DEFAULT_UPKEEP
    #: The version of the cluster; asked only while another change of minor version is to come, None otherwise and before 3.5.
    cluster_version: Version | None = None
    hashes: HashComparison | None = None
    #: When this leadership last took a backup that was read back and proven.
    verified_backup_at: datetime | None = None
    #: (peer, when this leadership last defragmented it), sorted.
    defragmented: tuple[tuple[str, datetime], ...] = ()
    #: The ids of requests whose members this leadership defragmented.
    defragmented_for: frozenset[str] = frozenset()
    #: When this leadership first looked; None before that.
    since: datetime | None = None
    #: (when, the cluster's revision then), oldest first, about one a minute.
    revisions: tuple[tuple[datetime, int], ...] = ()
    #: Up to where this leadership compacted; 0 for nowhere.
    compacted_at: int = 0
    #: When this leadership compacted last.
    compacted_on: datetime | None = None

    def old_revision(self, now: datetime) -> int:
        """Return the newest revision that may be forgotten; 0 for none."""
        return max((revision for at, revision in self.revisions if now - at >= self.policy.compact_older_than), default=0)

    def with_revision(self, now: datetime, revision: int) -> Upkeep:
        """Return this with a revision noted, at most one a minute, and none kept beyond the newest old one."""
        if not revision or (self.revisions and now - self.revisions[-1][0] < min(_REVISION_EVERY, self.policy.compact_older_than / 5)):
            return self
        old = [kept for kept in self.revisions if now - kept[0] >= self.policy.compact_older_than][-1:]
        young = [kept for kept in self.revisions if now - kept[0] < self.policy.compact_older_than]
        return replace(self, revisions=(*old, *young, (now, revision)))


NOTHING_SEEN = Upkeep()
