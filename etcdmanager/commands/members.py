"""`etcd-manager members`: etcd's members and the managers beside them, as the leading manager last saw them."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from agents.cli import common, common_options, emit, table
from agents.exit_codes import ExitCode
from agents.timestamps import format_timestamp
from etcdmanager.commands.cluster_status import ClusterReport
from etcdmanager.commands.figures import count_text, size_text
from etcdmanager.commands.member_advice import safe_to_stop
from etcdmanager.commands.nearest import nearest_report
from etcdmanager.commands.target import target_of, target_options

_HEADERS = ("NAME", "ID", "ROLE", "SERVES", "VERSION", "DB SIZE", "RAFT TERM", "RAFT INDEX", "REVISION", "ENDPOINT", "PROBLEM")
_RIGHT = {"DB SIZE", "RAFT TERM", "RAFT INDEX", "REVISION"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    parser.add_argument("etcd", nargs="?", default="main", metavar="ETCD", help="main (the default), events, cilium or leases")
    parser.add_argument("--safe-to-stop", metavar="NAME", help="say only whether this member's machine may be stopped now: exit 0, 2 or 4")
    target_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Show a table; exit code 2 where not every member serves, or nobody told lately."""
    target = target_of(arguments, arguments.etcd)
    report = nearest_report(target)
    if arguments.safe_to_stop:
        return _say_whether_safe(arguments, report, arguments.safe_to_stop)
    stale = report.is_stale(datetime.now(UTC))
    raft_leader = report.cluster.get("raftLeader")
    rows = []
    for row in report.members:
        figures = [row.get(key) for key in ("dbSizeBytes", "raftTerm", "raftIndex", "revision")]
        size, term, index, revision = (value if isinstance(value, int) and row.get("serves") else None for value in figures)
        urls = row.get("clientUrls")
        quarantined = " (quarantined)" if row.get("quarantined") else ""
        rows.append(
            (
                row.get("name"),
                row.get("memberId") or None,
                "leader" if row.get("name") == raft_leader else row.get("role") or None,
                ("yes" if row.get("serves") else "no") + quarantined,
                row.get("version") or None,
                None if size is None else size_text(size),
                term,
                None if index is None else count_text(index),
                None if revision is None else count_text(revision),
                urls[0] if isinstance(urls, list) and urls else None,
                row.get("problem") or "",
            )
        )
    told = f"told by {report.told_by} at {format_timestamp(report.told_at)}" if report.told_at else report.message
    text = f"Cluster {target.cluster} / {target.etcd}   {told}{' (STALE)' if stale else ''}\n{table(_HEADERS, rows, right=_RIGHT)}"
    items = [dict(row) for row in report.members]
    emit(common(arguments), "EtcdMemberList", {"cluster": target.cluster, "etcd": target.etcd, "stale": stale, "items": items}, text)
    serving = sum(1 for row in report.members if row.get("serves"))
    sound = not any(row.get("problem") for row in report.members)
    return ExitCode.OK if sound and not stale and serving >= max(1, report.wanted) else ExitCode.FINDING


def _say_whether_safe(arguments: argparse.Namespace, report: ClusterReport, name: str) -> ExitCode:
    """Say it, for whoever rolls machines: 0 safe, 2 not now, 4 refused by a safety rule, 5 no such member."""
    advice = safe_to_stop(report, name, datetime.now(UTC))
    said = {"member": name, "safe": advice.safe, "code": advice.code, "reason": advice.reason}
    emit(common(arguments), "SafeToStop", said, f"{'safe' if advice.safe else 'NOT safe'}: {advice.reason}")
    if advice.safe:
        return ExitCode.OK
    return ExitCode.FINDING if advice.passing else ExitCode.REFUSED
