"""Rules about members, as the leading manager told of them lately. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from agents.diagnosis import Found, Unknown, critical, warning
from etcdmanager.commands.figures import count_text, size_text
from etcdmanager.doctor.view import DoctorView
from etcdmanager.told import ToldCluster, ToldMember, told_cluster

#: Above it etcd's own documentation has one plan for more room or defragmentation.
_QUOTA_SHARE = 0.8
_FULL = "raise ETCD_QUOTA_BACKEND_BYTES (at most 8 GiB), or find what fills it: etcd-manager browse latest /registry/ --depth 1"
_HOLES = "it is full of holes: the leading manager defragments, one member at a time"
#: etcd compacts its log behind a member that is further behind, and must then send it a whole snapshot (--snapshot-count).
_INDEX_LAG = 10_000
#: What the leading manager waits for, by what a finding about it needs.
_VERSIONS = ("unknown-etcd-version", "S9-no-binaries", "version-differs", "unsupported-version", "no-binaries")
_STRANGERS = ("other-incarnation", "twins", "unlisted-member")


def no_quorum(view: DoctorView) -> Iterator[Found]:
    """The cluster takes no writes."""
    told = _told(view)
    if told is not None and told.phase == "Running" and not told.has_quorum:
        away = ", ".join(f"{m.name}: {m.problem or 'does not serve'}" for m in told.members if not m.serves)
        yield critical(
            f"no quorum: {len(told.serving)} of {told.voters} voters serve",
            evidence=away or "no member serves",
            fix="bring a machine or its volume back; if none comes back: etcd-manager recover-from-member, or restore-backup latest",
        )


def members_away(view: DoctorView) -> Iterator[Found]:
    """A manager does not answer, or its etcd does not serve."""
    told = _told(view)
    for member in told.members if told is not None and told.has_quorum else ():
        if member.serves and not member.problem:
            continue
        if not member.answers:
            yield critical(
                f"the manager of {member.name} does not answer",
                evidence=member.problem or "silent",
                fix=f"is the machine up? systemctl status etcd-manager@{view.etcd} there; protokube status for its volume",
            )
        elif member.role in {"voter", "learner"} or member.problem:
            yield (critical if member.role == "voter" and not member.serves else warning)(
                f"etcd of {member.name} {'has trouble' if member.serves else 'does not serve'}",
                evidence=member.problem or f"it is a {member.role} that follows no raft leader",
                fix=f"etcd's log on {member.name} (/var/log/etcd*.log), and journalctl -u etcd-manager@{view.etcd}",
            )


def quarantined(view: DoctorView) -> Iterator[Found]:
    """Clients are kept out of a member although nothing is being restored."""
    told = _told(view)
    closed = [m.name for m in told.members if m.quarantined] if told is not None and told.phase == "Running" else []
    if told is not None and closed:
        yield (critical if len(closed) == len(told.members) else warning)(
            f"clients cannot reach {', '.join(closed)}: quarantined, and no restore is under way",
            evidence=_waits(view, "quarantine-waits") or "the leading manager lifts it member by member",
            fix="`etcd-manager status` says which member it waits for",
        )


def alarms(view: DoctorView) -> Iterator[Found]:
    """Etcd raises an alarm."""
    told = _told(view)
    for member, alarm in told.alarms if told is not None else ():
        if alarm == "CORRUPT":
            fix = "keep that member's data; etcd-manager replace-member brings an empty one"
        else:
            fix = "the leading manager makes room and disarms where it may (etcd-manager status); find out who writes so much (browse)"
        yield critical(f"etcd raises {alarm} for {member}", evidence="as etcd's members tell it", fix=fix)


def quota(view: DoctorView) -> Iterator[Found]:
    """A database is near its quota."""
    told = _told(view)
    for member in told.serving if told is not None else ():
        share = member.db_in_use_bytes / member.quota_bytes if member.quota_bytes else 0.0
        size = member.db_size_bytes / member.quota_bytes if member.quota_bytes else 0.0
        if max(share, size) > _QUOTA_SHARE:
            yield (critical if share > 0.95 else warning)(
                f"the database of {member.name} is at {max(share, size):.0%} of its quota",
                evidence=f"{_sizes(member)}; quota {size_text(member.quota_bytes)}",
                fix=_FULL if share > _QUOTA_SHARE else _HOLES,
            )


def keys_differ(view: DoctorView) -> Iterator[Found]:
    """Members hold different keys at the same revision."""
    told = _told(view)
    if told is not None and told.odd:
        yield critical(
            f"{', '.join(told.odd)} hold{'s' if len(told.odd) == 1 else ''} other keys than the rest",
            evidence="HashKV differs at one revision",
            fix="keep that member's data, report it, then etcd-manager replace-member",
        )


def strangers(view: DoctorView) -> Iterator[Found]:
    """Machines that belong to another incarnation, or two that say they are the same."""
    for code in _STRANGERS:
        if evidence := _waits(view, code):
            yield critical(
                "a machine runs what is not this cluster's",
                evidence=evidence,
                fix="see `etcd-manager members`; wipe the disk of the one that is not wanted, or give it its own name",
            )


def versions(view: DoctorView) -> Iterator[Found]:
    """Members run different versions, or cannot run the one that is wanted."""
    told = _told(view)
    for code in _VERSIONS:
        if evidence := _waits(view, code):
            yield warning("a version of etcd is wanted that not every member runs", evidence=evidence, fix="etcd-manager upgrade --plan")
            return
    found = sorted({m.version for m in told.serving if m.version}) if told is not None else []
    if len(found) > 1:
        yield warning(
            f"members run different versions: {', '.join(found)}",
            evidence=", ".join(f"{m.name} {m.version}" for m in told.serving) if told is not None else "",
            fix="an upgrade is under way or stopped; etcd-manager upgrade --plan",
        )


def too_few(view: DoctorView) -> Iterator[Found]:
    """Fewer voters than wanted."""
    told = _told(view)
    if told is None or not told.has_quorum or not told.wanted_members:
        return
    if told.voters < told.wanted_members:
        yield warning(
            f"{told.voters} voters, wanted {told.wanted_members}",
            evidence=_waits(view, "no-peer-to-add")
            or ", ".join(f"{m.name} is a learner" for m in told.members if m.role == "learner")
            or "none joins",
            fix="start another manager with an empty disk; a learner becomes a voter once it has caught up",
        )


def even_voters(view: DoctorView) -> Iterator[Found]:
    """An even number of voters bears no more than one less."""
    told = _told(view)
    if told is not None and told.voters and told.voters % 2 == 0 and told.phase == "Running":
        yield warning(
            f"{told.voters} voters bear the loss of no more machines than {told.voters - 1} do",
            evidence=f"wanted are {told.wanted_members or 'not told'}",
            fix="odd numbers are wanted; between two changes of membership it passes",
        )


def behind(view: DoctorView) -> Iterator[Found]:
    """A member is far behind in raft's log."""
    told = _told(view)
    for member in told.serving if told is not None else ():
        lag = told.highest_index - member.raft_index if told is not None else 0
        if lag > _INDEX_LAG:
            yield warning(
                f"{member.name} is {count_text(lag)} entries behind",
                evidence=f"raft index {member.raft_index}",
                fix="its disk or its network is slow",
            )


def deltas(view: DoctorView) -> Iterator[Found]:
    """Changes are not collected: restores reach back to full backups only."""
    report = view.store.report
    for problem in () if isinstance(report, Unknown) or report.is_stale(view.now) else report.problems:
        if problem.reason.startswith("deltas-"):
            yield warning("changes are not collected", evidence=problem.reason, fix=problem.hint or "etcd-manager status")


def _told(view: DoctorView) -> ToldCluster | None:
    report = view.store.report
    return None if isinstance(report, Unknown) or report.is_stale(view.now) or not report.cluster else told_cluster(report.cluster)


def _waits(view: DoctorView, code: str) -> str:
    """Return what the leading manager says under a code; "" for nothing."""
    report = view.store.report
    if isinstance(report, Unknown) or report.is_stale(view.now):
        return ""
    return next((problem.reason for problem in report.problems if problem.reason.startswith(f"{code}:")), "")


def _sizes(member: ToldMember) -> str:
    return f"{size_text(member.db_in_use_bytes)} of {size_text(member.db_size_bytes)} in use"
