"""The whole way of a change of version, restart by restart, as `etcd-manager upgrade --plan` shows it: way_to, played to its end. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from agents.versions import Version
from etcdmanager.etcd.features import line
from etcdmanager.leader.rules.versions_path import AllowDowngrade, Blocked, ForbidDowngrade, Move, Runner, way_to

#: Three restarts for each of at most a few minors; a plan that is longer goes in circles.
_MOST_STEPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One thing that will be done: a member restarts with `to`, or, with no member, `text` happens."""

    peer: str = ""
    before: str = ""
    to: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPlan:
    """The steps, and what stands at their end where that is not the wanted version; None where it is."""

    steps: tuple[PlannedStep, ...]
    blocked: Blocked | None = None

    @property
    def restarts(self) -> int:
        """Return how many members are restarted, counting each time."""
        return sum(1 for step in self.steps if step.peer)


def plan_to(wanted: Version, runners: Sequence[Runner], *, available: Sequence[Version]) -> VersionPlan:  # noqa: C901  one case per way
    """Return the plan; `runners` in the order in which they are restarted, raft's leader last."""
    members, steps = list(runners), list[PlannedStep]()
    for _ in range(_MOST_STEPS):
        way = way_to(wanted, members, available=available, cluster=min(r.version for r in members) if members else None)
        match way:
            case None:
                return VersionPlan(steps=tuple(steps))
            case Blocked():
                return VersionPlan(steps=tuple(steps), blocked=way)
            case Move(to=to, peers=peers):
                if not peers:
                    return VersionPlan(steps=tuple(steps), blocked=_ON_ITS_WAY)
                missing = _missing(to, available)
                if missing is not None:
                    return VersionPlan(steps=tuple(steps), blocked=missing)
                at = next(i for i, r in enumerate(members) if r.peer in peers)
                steps.append(PlannedStep(peer=members[at].peer, before=str(members[at].version), to=str(to)))
                members[at] = replace(members[at], asked=to, runs=to)
            case AllowDowngrade(to=to):
                steps.append(PlannedStep(text=f"have etcd enable its downgrade to {to.major}.{to.minor}"))
                members = [replace(r, downgrade_target=to, storage=to) for r in members]
            case ForbidDowngrade():
                steps.append(PlannedStep(text="cancel the downgrade that etcd has enabled"))
                members = [replace(r, downgrade_target=None, storage=None) for r in members]
            case _:
                assert_never(way)
        members = [r if line(r.version) >= (3, 6) else replace(r, downgrade_target=None, storage=None) for r in members]
    raise AssertionError(f"the way to {wanted} never ends: {steps}")


def _missing(to: Version, available: Sequence[Version]) -> Blocked | None:
    if to in available:
        return None
    return Blocked(
        code="upgrade-needs-binaries", reason=f"etcd {to} is not on every member", hint=f"put it into /opt/etcd-v{to} on every member"
    )


_ON_ITS_WAY = Blocked(code="upgrade-under-way", reason="a member was told to change its version and has not come up with it yet")
