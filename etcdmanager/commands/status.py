"""`etcd-manager status`: how the etcd clusters of one Kubernetes cluster are, what is waited for, and what to do.

It reads what the leading managers leave in their control stores; it asks no manager and changes nothing. Exit code 2 where
something is not as it should be.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from agents.cli import common, common_options, emit, table
from agents.durations import format_age
from agents.errors import NotFoundError, SpecError
from agents.exit_codes import ExitCode
from agents.timestamps import format_timestamp, parse_timestamp
from etcdmanager.commands.cluster_status import ClusterReport
from etcdmanager.commands.figures import count_text, size_text
from etcdmanager.commands.nearest import nearest_report
from etcdmanager.commands.repeating import repeat, repeating_options
from etcdmanager.commands.target import given, target_of, target_options
from etcdmanager.spec import KOPS_CLUSTERS

_HEADERS = ("CLUSTER", "HEALTH", "MEMBERS", "LEADER", "VERSION", "DB", "REVISION", "LAST BACKUP", "MANAGER")
_RIGHT = {"MEMBERS", "DB", "REVISION"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    parser.add_argument("etcd", nargs="?", default="", metavar="ETCD", help="main, events, cilium or leases (default: all that exist)")
    parser.add_argument("-W", "--watch", action="store_true", help="look again and again; see also the verb watch")
    repeating_options(parser, default="2s")
    target_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Show one line for each cluster, then what is wrong; exit code 2 where anything is."""
    if arguments.watch:
        repeat(common(arguments), arguments, "EtcdStatus", lambda: _look(arguments)[:2])
        return ExitCode.OK
    document, text, sound = _look(arguments)
    emit(common(arguments), "EtcdStatus", document, text)
    return ExitCode.OK if sound else ExitCode.FINDING


def _look(arguments: argparse.Namespace) -> tuple[dict[str, object], str, bool]:
    """Return the document, the text, and whether all is well."""
    now = datetime.now(UTC)
    cluster, reports = _reports(arguments)
    rows = [_row(report, now) for report in reports]
    lines = [*_head(cluster, reports, now), table(_HEADERS, rows, right=_RIGHT), *(_problem_lines(reports))]
    items = [_document(report, now) for report in reports]
    sound = all(health(report, now) == "ok" for report in reports)
    return {"cluster": cluster, "items": items}, "\n".join(lines), sound


def _head(cluster: str, reports: tuple[ClusterReport, ...], now: datetime) -> list[str]:
    """Return what stands above the table: whose clusters these are, who told it, and which of them an operator has paused."""
    told = max((r.told_at for r in reports if r.told_at is not None), default=None)
    tellers = ", ".join(sorted({r.told_by for r in reports if r.told_by}))
    pauses = [(r.etcd, r.pause) for r in reports if r.pause is not None and r.pause.holds(now)]
    return [
        f"Cluster {cluster}" + (f"   collected {format_timestamp(told.replace(microsecond=0))} from {tellers}" if told else ""),
        *(
            f"PAUSED {etcd} until {format_timestamp(pause.until)} by {pause.by}{f': {pause.reason}' if pause.reason else ''}"
            for etcd, pause in pauses
        ),
    ]


def health(report: ClusterReport, now: datetime) -> str:
    """Return one word or two for how a cluster is; "ok" only where nothing needs anybody."""
    if report.is_stale(now):
        return "unknown"
    cluster = report.cluster
    if not report.created and cluster.get("phase") == "NoCluster":
        return "not formed"
    if cluster.get("phase") == "Restoring":
        return "restoring"
    if not cluster.get("hasQuorum"):
        return "NO QUORUM"
    serving = sum(1 for row in report.members if row.get("serves"))
    if serving < report.wanted or report.problems:
        return "degraded"
    return "backup stale" if cluster.get("backupStale") else "ok"


def _reports(arguments: argparse.Namespace) -> tuple[str, tuple[ClusterReport, ...]]:
    """Return the cluster's name, and a report for each etcd cluster that was asked for or exists."""
    if arguments.etcd or given(arguments, "backup_store"):
        target = target_of(arguments, arguments.etcd or "main")
        return target.cluster, (nearest_report(target),)
    found = []
    name = ""
    for row in KOPS_CLUSTERS:
        target = target_of(arguments, row.kops_name)
        name = target.cluster
        try:
            found.append(nearest_report(target))
        except NotFoundError:
            continue
    if not found:
        raise NotFoundError(f"cluster {name} has no etcd cluster in this state store", hint="check --state and --name")
    return name, tuple(found)


def _row(report: ClusterReport, now: datetime) -> tuple[object, ...]:
    cluster, members = report.cluster, report.members
    serving = [row for row in members if row.get("serves")]
    versions = sorted({str(row.get("version", "")) for row in serving})
    backup = cluster.get("lastBackup")
    taken = _time(backup.get("takenAt")) if isinstance(backup, dict) else None
    return (
        report.etcd,
        health(report, now),
        f"{len(serving)}/{report.wanted or len(members)}",
        cluster.get("raftLeader") or None,
        "/".join(versions) or None,
        size_text(max((_number(row, "dbSizeBytes") for row in serving), default=0)) if serving else None,
        count_text(max((_number(row, "revision") for row in serving), default=0)) if serving else None,
        f"{format_age(now - taken)} ago" if taken else None,
        report.leader or None,
    )


def _problem_lines(reports: tuple[ClusterReport, ...]) -> list[str]:
    lines = []
    for report in reports:
        if report.told_at is None:
            lines.append(f"! {report.etcd}: {report.message}{'' if report.unreadable else '; is a manager running?'}")
        for problem in report.problems:
            lines.append(f"! {report.etcd}: {problem.reason}")
            if problem.hint:
                lines.append(f"  {problem.hint}")
        lines += [
            f"! {report.etcd}: {row['name']}: {row['problem']}" for row in report.members if row.get("problem") and row.get("answers")
        ]
    return lines


def _document(report: ClusterReport, now: datetime) -> dict[str, object]:
    return {
        "etcd": report.etcd,
        "health": health(report, now),
        "created": report.created,
        "leader": report.leader,
        "message": report.message,
        "toldBy": report.told_by,
        "toldAt": format_timestamp(report.told_at) if report.told_at else None,
        "pause": {"until": format_timestamp(report.pause.until), "by": report.pause.by, "reason": report.pause.reason}
        if report.pause is not None and report.pause.holds(now)
        else None,
        "problems": [{"reason": problem.reason, "hint": problem.hint} for problem in report.problems],
        "cluster": dict(report.cluster),
    }


def _time(value: object) -> datetime | None:
    """Return the time in a document; None where there is none, or none that parses."""
    try:
        return parse_timestamp(str(value), where="time") if value else None
    except SpecError:
        return None


def _number(row: object, key: str) -> int:
    value = row.get(key, 0) if isinstance(row, dict) else 0
    return value if isinstance(value, int) else 0
