"""`etcd-manager defrag`: have database files rewritten without holes, one member at a time, raft's leader last.

Each member is a request of its own in the control store; the leading manager moves raft's lead away, checks that all others serve, and
answers. The leader does the same by itself where a file is mostly holes (leader/rules/maintenance_space.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime

from agents.cli import common, common_options, emit, table
from agents.errors import SpecError
from agents.exit_codes import ExitCode
from etcdmanager.commands.cluster_status import ClusterReport, read_report
from etcdmanager.commands.figures import size_text
from etcdmanager.commands.member_advice import row_of, trusted
from etcdmanager.commands.member_verbs import ask_leader
from etcdmanager.commands.target import target_of, target_options
from etcdmanager.control.member_requests import MemberVerb

#: Measured figures differ with the disk; a small cloud disk rewrites so much in a second.
_BYTES_PER_SECOND = 100 << 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    parser.add_argument("etcd", nargs="?", default="main", metavar="ETCD", help="main (the default), events, cilium or leases")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--rolling", action="store_true", help="all members, one after another")
    which.add_argument("--member", metavar="NAME", help="only this one")
    parser.add_argument("--plan", action="store_true", help="show what would happen, and change nothing")
    parser.add_argument("--reason", default="", help="why; kept with the requests and in the history (INC-123)")
    parser.add_argument("--timeout", default="10m", metavar="DURATION", help="how long to wait for each member (default 10m)")
    target_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Show the plan, or ask for one member after another."""
    target = target_of(arguments, arguments.etcd)
    report = read_report(target.store, target.etcd)
    names = [str(row_of(report, arguments.member).get("name"))] if arguments.member else _all_members(report)
    rows = [row_of(report, name) for name in names]
    if arguments.plan:
        shown = [
            (number, row.get("name"), size_text(_size(row)), size_text(_in_use(row)), f"{_seconds(row):.0f} s")
            for number, row in enumerate(rows, start=1)
        ]
        text = table(("", "MEMBER", "DB SIZE", "IN USE", "PAUSE"), shown, right={"DB SIZE", "IN USE", "PAUSE"})
        items = [{"member": row.get("name"), "dbSizeBytes": _size(row), "dbInUseBytes": _in_use(row)} for row in rows]
        content = {"cluster": target.cluster, "etcd": target.etcd, "changed": False, "items": items}
        emit(common(arguments), "DefragPlan", content, f"{text}\nNothing has been changed.")
        return ExitCode.OK
    untrusted = trusted(report, datetime.now(UTC))
    if untrusted is not None:
        raise untrusted.error()
    answers = [ask_leader(arguments, target, MemberVerb.DEFRAGMENT, name) for name in names]
    items = [{"member": name, "text": answer.text} for name, answer in zip(names, answers, strict=True)]
    content = {"cluster": target.cluster, "etcd": target.etcd, "changed": True, "items": items}
    emit(common(arguments), "DefragResult", content, "\n".join(answer.text for answer in answers))
    return ExitCode.OK


def _all_members(report: ClusterReport) -> list[str]:
    leader = report.cluster.get("raftLeader")
    names = [str(row.get("name")) for row in report.members if row.get("role") in {"voter", "learner"}]
    if not names:
        raise SpecError("no manager tells of any member", hint=f"etcd-manager status {report.etcd}")
    return sorted(names, key=lambda name: (name == leader, name))


def _size(row: Mapping[str, object]) -> int:
    size = row.get("dbSizeBytes")
    return size if isinstance(size, int) else 0


def _in_use(row: Mapping[str, object]) -> int:
    used = row.get("dbInUseBytes")
    return used if isinstance(used, int) and used else _size(row)


def _seconds(row: Mapping[str, object]) -> float:
    """Return how long a member will serve nothing: what is in use is written once."""
    return max(1.0, _in_use(row) / _BYTES_PER_SECOND)
