"""Whether a member may be stopped, leave or be replaced, as the leading manager last told of the cluster; pure, for commands.

It is advice: the leader decides anew, on what it sees itself, before anything is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.durations import format_age
from agents.errors import AgentError, NotFoundError, RefusedError, TransientError
from etcdmanager.commands.cluster_status import ClusterReport
from etcdmanager.quorum import quorum

#: The leader tells at least once a minute, and within seconds what changes.
FRESH = timedelta(seconds=75)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Whether it is safe, and why. `code` is "" where it is; `passing` says that waiting may help."""

    reason: str
    code: str = ""
    passing: bool = False

    @property
    def safe(self) -> bool:
        """Return whether it is safe."""
        return not self.code

    def error(self) -> AgentError:
        """Return the error that says no: RefusedError for a safety rule, TransientError for what may pass."""
        return (TransientError if self.passing else RefusedError)(f"{self.code}: {self.reason}; nothing was changed", code=self.code)


def row_of(report: ClusterReport, name: str) -> Mapping[str, object]:
    """Return what is told of a member; NotFoundError where nobody knows it."""
    row = next((row for row in report.members if row.get("name") == name), None)
    if row is None:
        known = ", ".join(sorted(str(row.get("name")) for row in report.members)) or "none"
        raise NotFoundError(f"etcd {report.etcd} has no member {name!r}; known: {known}", hint=f"etcd-manager members {report.etcd}")
    return row


def trusted(report: ClusterReport, now: datetime) -> Advice | None:
    """Return why the report is no ground to decide on, None where it is one."""
    if report.told_at is None or now - report.told_at > FRESH:
        age = format_age(now - report.told_at) + " ago" if report.told_at is not None else "never"
        return Advice(code="nobody-told-lately", passing=True, reason=f"the cluster's state was told {age}; is a manager leading?")
    if report.cluster.get("phase") != "Running":
        return Advice(code="cluster-changing", passing=True, reason=f"the cluster is not at rest: {report.message}")
    return None


def safe_to_stop(report: ClusterReport, name: str, now: datetime, *, leaves: bool = False) -> Advice:
    """Return whether the machine of `name` may be stopped now: whether a quorum serves without it, and nothing else is under way.

    With `leaves` the member leaves the list for good, and one voter fewer needs to agree.
    """
    row = row_of(report, name)
    untrusted = trusted(report, now)
    if untrusted is not None:
        return untrusted
    voters, serving = _number(report, "voters"), _number(report, "healthyVoters")
    counts = bool(row.get("serves")) and row.get("role") == "voter"
    left = serving - (1 if counts else 0)
    stay = voters - 1 if leaves and row.get("role") == "voter" else voters
    if left < quorum(stay) or serving < quorum(voters):
        reason = f"{left} of {stay} voters would serve without {name}, {quorum(stay)} are needed"
        return Advice(code="S4-stop-costs-quorum", reason=reason)
    others = [r for r in report.members if r.get("name") != name]
    changing = [str(r.get("name")) for r in others if r.get("role") == "learner" or r.get("quarantined")]
    if counts and changing:
        return Advice(code="cluster-changing", passing=True, reason=f"{', '.join(changing)} is on its way to serve clients; wait for it")
    said = f"{left} of {stay} voters serve without {name}, {quorum(stay)} are needed"
    if report.cluster.get("raftLeader") == name:
        said += f"; it leads raft: etcd-manager move-leader {report.etcd} first saves an election"
    return Advice(reason=said)


def best_follower(report: ClusterReport) -> str:
    """Return the serving voter that is furthest ahead and does not lead raft; NotFoundError where there is none."""
    leader = report.cluster.get("raftLeader")
    able = [r for r in report.members if r.get("serves") and r.get("role") == "voter" and r.get("name") != leader]
    if not able:
        raise NotFoundError(f"etcd {report.etcd} has no serving follower that could lead raft", hint=f"etcd-manager members {report.etcd}")
    return str(max(able, key=lambda r: (_of(r, "raftIndex"), str(r.get("name")))).get("name"))


def _number(report: ClusterReport, key: str) -> int:
    return _of(report.cluster, key)


def _of(row: Mapping[str, object], key: str) -> int:
    value = row.get(key, 0)
    return value if isinstance(value, int) else 0
