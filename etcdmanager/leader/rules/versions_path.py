"""By which versions a cluster comes from what it runs to what is wanted: one minor line at a time, each step judged afresh. Pure.

    members run          wanted      next version
    3.4.23 3.4.23        3.5.16      3.5.16
    3.4.23 3.5.16        3.5.16      3.5.16 for the first (a step that was interrupted goes on)
    3.4.23 3.4.23        3.6.12      the newest 3.5 that all have
    3.5.16 3.5.16        3.6.12      the newest 3.5 that all have, 3.5.26 or later
    3.5.30 3.5.30        3.6.12      3.6.12, once the cluster's version is 3.5
    3.5.16 3.5.16        3.5.1       3.5.1
    3.5.16 3.4.23        3.4.23      3.4.23 for the first: while one 3.4 runs, the cluster's version is 3.4 (tried with 3.5.16 and 3.4.23)
    3.6.12 3.6.12        3.5.30      etcd's own downgrade is enabled first, then 3.5.30
    3.5.16 3.5.16        3.4.23      none: only a restore leads there

The members' versions are the whole memory of a change: whoever leads next goes on from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.errors import SpecError
from agents.versions import Version
from etcdmanager.etcd.features import LAST_BEFORE_3_6, has_native_downgrade, line, next_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """One member: what its state asks for, and what really runs (None: it does not answer)."""

    peer: str
    asked: Version
    runs: Version | None
    #: The version of its database's format, and what the cluster is being taken down to; None where etcd does not say.
    storage: Version | None = None
    downgrade_target: Version | None = None

    @property
    def version(self) -> Version:
        """Return what it runs, or is to run where that is not known."""
        return self.runs or self.asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Bring `peers` to `to`, one at a time; none are left where all were told already and some are still on their way."""

    to: Version
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowDowngrade:
    """etcd's own downgrade to this minor line must be enabled first."""

    to: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class ForbidDowngrade:
    """A downgrade is enabled that nobody wants any more: it must be cancelled first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """There is no way, or not yet; the code is stable."""

    code: str
    reason: str
    hint: str = ""


Way = Move | AllowDowngrade | ForbidDowngrade | Blocked | None


def way_to(wanted: Version, runners: Sequence[Runner], *, available: Sequence[Version], cluster: Version | None) -> Way:
    """Return the next thing to do on the way to `wanted`; None where every member is asked to run it.

    Args:
        wanted: what the spec asks for.
        runners: the members of the cluster.
        available: the versions that all of them have.
        cluster: the version of the cluster, None where it is not known.
    """
    enabled = next((r.downgrade_target for r in runners if r.downgrade_target is not None), None)
    if enabled is not None and line(wanted) > line(enabled):
        return ForbidDowngrade()
    if all(r.asked == wanted for r in runners):
        return None
    lines = {line(r.version) for r in runners}
    low, high = min(lines), max(lines)
    if line(wanted) < high:
        return _down(wanted, runners, enabled=enabled)
    if line(wanted) == low:
        return _move(wanted, runners)
    return _up(wanted, runners, available=available, cluster=cluster)


def parsed(text: str) -> Version | None:
    """Return a version, None where the text is none."""
    try:
        return Version.parse(text)
    except SpecError:
        return None


def _up(wanted: Version, runners: Sequence[Runner], *, available: Sequence[Version], cluster: Version | None) -> Way:
    low = min(line(r.version) for r in runners)
    step = next_minor(min(r.version for r in runners))
    behind = [r for r in runners if line(r.version) == low and line(r.asked) == low]
    if not behind:
        return Move(to=wanted, peers=())
    if step >= (3, 6) and (too_old := [r for r in behind if r.version < LAST_BEFORE_3_6]):
        return _stop_over(too_old, low, available, at_least=LAST_BEFORE_3_6, why=_WHY_3_5_26)
    if len(behind) == len(runners) and cluster is not None and line(cluster) < low:
        reason = f"all members run {_text(low)}, and the cluster's version is still {_text(line(cluster))}"
        return Blocked(code="upgrade-waits-for-cluster-version", reason=reason)
    if line(wanted) == step:
        return _move(wanted, behind)
    why = f"etcd goes from {_text(low)} to {_text(line(wanted))} only by way of {_text(step)}"
    return _stop_over(behind, step, available, at_least=Version(major=step[0], minor=step[1]), why=why)


def _stop_over(behind: Sequence[Runner], stop: tuple[int, int], available: Sequence[Version], *, at_least: Version, why: str) -> Way:
    """Return the move to the newest version of a line that all have, or what must be installed for it."""
    usable = [v for v in available if line(v) == stop and v >= at_least]
    if not usable:
        what = f"etcd {at_least} or a later {_text(stop)}" if at_least.patch else f"any etcd {_text(stop)}, the newest if you can"
        return Blocked(
            code="upgrade-needs-stop-over", reason=f"{why}, and no such etcd is on every member", hint=f"install {what} on every member"
        )
    return _move(max(usable), behind)


def _down(wanted: Version, runners: Sequence[Runner], *, enabled: Version | None) -> Way:
    """Return the way to a lower minor line, which etcd allows while a member runs it, or after its own downgrade was enabled."""
    above = [r for r in runners if line(r.version) > line(wanted)]
    if any(r.runs is not None and line(r.runs) == line(wanted) for r in runners):
        return _move(wanted, above)
    highest = max(r.version for r in runners)
    if not has_native_downgrade(highest) or next_minor(wanted) != line(highest):
        return Blocked(
            code="downgrade-needs-restore",
            reason=f"a cluster of version {_text(line(highest))} is not taken down to {wanted} by etcd itself",
            hint=f"let the spec ask for {wanted} (kops, or etcd-manager-ctl configure-cluster), then etcd-manager restore-backup "
            f"with a backup that a {_text(line(wanted))} took; or ask for the present version again",
        )
    if enabled is None or line(enabled) != line(wanted):
        return AllowDowngrade(to=Version(major=wanted.major, minor=wanted.minor))
    waiting = [r.peer for r in above if r.storage is None or line(r.storage) > line(wanted)]
    if waiting:
        reason = f"the database of {', '.join(waiting)} is not in the format of {_text(line(wanted))} yet"
        return Blocked(code="downgrade-waits-for-storage", reason=reason)
    return _move(wanted, above)


def _move(to: Version, runners: Sequence[Runner]) -> Move:
    return Move(to=to, peers=tuple(r.peer for r in runners if r.asked != to))


def _text(minor_line: tuple[int, int]) -> str:
    return f"{minor_line[0]}.{minor_line[1]}"


_WHY_3_5_26 = "before 3.6 every member must have run 3.5.26 or later (it repairs the list of members that 3.6 believes)"
