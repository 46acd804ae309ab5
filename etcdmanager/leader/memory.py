"""What a leader remembers between rounds, and nothing that a successor would need: it is forgotten at every election.

Everything that must survive is in the control store, in etcd or on the members' disks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from agents.errors import AccessError, AgentError, NotFoundError, RefusedError, SpecError, VerificationError
from etcdmanager.leader.actions import Action, ClaimRestore
from etcdmanager.leader.upkeep import Upkeep
from etcdmanager.leader.view import Absent, Backup, Trouble

#: For these a second attempt with the same input gives the same answer.
_PERMANENT = (SpecError, RefusedError, NotFoundError, VerificationError, AccessError)

#: How old the leader's picture of the backup store may be; its own backups and deletions refresh it at once.
BACKUPS_FRESH = timedelta(minutes=1)


def troubles_after(troubles: Mapping[str, Trouble], rule: str, action: Action) -> dict[str, Trouble]:
    """Return the troubles, by rule, that are left once a rule's action worked. Pure.

    None once a restore is claimed: what failed for the last one, of a damaged backup perhaps, must not have this one given up, nor begun
    without its backup of the old cluster.
    """
    if isinstance(action, ClaimRestore):
        return {}
    return {name: trouble for name, trouble in troubles.items() if name != rule}


@dataclass(slots=True, kw_only=True)
class Memory:
    """The mutable part of a leadership; owned by the leader's loop."""

    troubles: dict[str, Trouble] = field(default_factory=dict)
    #: etcd member id -> since when it does not serve.
    unhealthy: dict[int, datetime] = field(default_factory=dict)
    absent: dict[str, Absent] = field(default_factory=dict)
    last_backup: datetime | None = None
    last_cleanup: datetime | None = None
    backups: tuple[Backup, ...] = ()
    expired: tuple[str, ...] = ()
    backups_seen: datetime | None = None
    #: What version changes and maintenance go by.
    upkeep: Upkeep = field(default_factory=Upkeep)

    def failed(self, rule: str, error: AgentError, now: datetime) -> Trouble:
        """Remember that a rule's action failed, and return the whole trouble."""
        before = self.troubles.get(rule)
        trouble = Trouble(
            rule=rule,
            code=error.code,
            message=str(error),
            permanent=isinstance(error, _PERMANENT),
            damage=isinstance(error, VerificationError),
            since=before.since if before else now,
            last=now,
            count=(before.count if before else 0) + 1,
        )
        self.troubles[rule] = trouble
        return trouble

    def succeeded(self, rule: str, action: Action) -> None:
        """Forget the trouble of a rule whose action worked."""
        self.troubles = troubles_after(self.troubles, rule, action)

    def forget_moot(self, rule: str, now: datetime) -> None:
        """Forget the troubles of other rules that were not met again for a while: what they were about went away."""
        for name, trouble in list(self.troubles.items()):
            if name != rule and now - trouble.last > timedelta(minutes=5):
                del self.troubles[name]

    def note_health(self, serving: Iterable[int], listed: Iterable[int], now: datetime) -> None:
        """Keep for each listed member since when it does not serve; a first sighting counts as just now."""
        healthy = set(serving)
        known = set(listed)
        self.unhealthy = {i: self.unhealthy.get(i, now) for i in known - healthy}

    def note_absence(self, peer_id: str, reason: str, now: datetime) -> Absent:
        """Keep since when a peer does not answer, with the latest reason."""
        before = self.absent.get(peer_id)
        self.absent[peer_id] = Absent(id=peer_id, since=before.since if before else now, reason=reason)
        return self.absent[peer_id]

    def note_presence(self, peer_id: str) -> None:
        """Forget a peer's absence."""
        self.absent.pop(peer_id, None)

    def backup_taken(self, now: datetime, *, verified: bool) -> None:
        """Remember that a backup was taken, whatever its name says of the time, and whether it was proven."""
        self.last_backup = now
        if verified:
            self.upkeep = replace(self.upkeep, verified_backup_at=now)
        self.backups_changed()

    def backups_changed(self) -> None:
        """Have the backups listed again at the next look."""
        self.backups_seen = None

    def backups_are_fresh(self, now: datetime) -> bool:
        """Return whether the last listing still counts."""
        return self.backups_seen is not None and now - self.backups_seen < BACKUPS_FRESH
