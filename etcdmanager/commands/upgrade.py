"""`etcd-manager upgrade --to VERSION`: plan a change of etcd's version, ask, write it into the cluster spec, and follow the members there.

    what the leader tells --way_to--> plan, gates --typed name--> control/etcd-cluster-spec --> follow until every member runs it
                                       exit 0 or 4                 (what Go managers read)       exit 0, 8 after --timeout

The change itself is the leading manager's work (leader/rules/versions.py); it goes on when this command ends. The same verb takes a change
back: ask for the old version. kops writes the spec too: its cluster should ask for the same version, or its next update takes this back.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from agents.cli import common, common_options, emit, table
from agents.consent import Consent, ask, consent, consent_options
from agents.durations import format_go_duration, parse_human_duration
from agents.errors import DeadlineError, RefusedError, SpecError
from agents.exit_codes import ExitCode
from agents.versions import Version
from etcdmanager.commands.cluster_status import ClusterReport, read_report
from etcdmanager.commands.target import Target, target_of, target_options, who
from etcdmanager.control.history import Event, History
from etcdmanager.control.store import ControlStore
from etcdmanager.etcd.features import line
from etcdmanager.leader.rules.versions_path import Runner, parsed
from etcdmanager.leader.rules.versions_plan import VersionPlan, plan_to
from etcdmanager.spec import ClusterSpec

_POLL_SECONDS = 1.0
#: Measured with three members on one machine: 2 to 4 s from one restart to the next, and no writer waits longer than half a second.
_SECONDS_EACH = 4
_PAUSE_OF_WRITES = "under 1 s for each time that raft's lead moves; a member's own clients reconnect when it restarts (1 to 3 s)"
_PAUSE_OF_ONE = "2 to 4 s for each restart: there is only one member, and nothing serves meanwhile"


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    parser.add_argument("etcd", nargs="?", default="main", metavar="ETCD", help="main (the default), events, cilium or leases")
    parser.add_argument("--to", required=True, metavar="VERSION", help="the etcd that all members are to run (3.5.30); an older one too")
    consent_options(parser, subject="whose etcd changes its version")
    parser.add_argument("--reason", default="", help="why; kept in the history (INC-123)")
    parser.add_argument("--wait", action=argparse.BooleanOptionalAction, default=True, help="follow it until it is done (the default)")
    parser.add_argument("--timeout", default="30m", metavar="DURATION", help="how long to follow it (default 30m)")
    target_options(parser)
    common_options(parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gate:
    """Something that must be so before a member restarts, and how it is now; `leader` where the leader sees to it itself."""

    name: str
    found: str
    open: bool
    leader: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    target: Target
    spec: ClusterSpec
    wanted: Version
    way: VersionPlan
    gates: tuple[_Gate, ...]
    members: int


def run(arguments: argparse.Namespace) -> ExitCode:
    """Plan, ask, write the spec, follow."""
    options = common(arguments)
    target = target_of(arguments, arguments.etcd)
    plan = _plan(target, Version.parse(arguments.to))
    allowed = consent(arguments, target.cluster)
    refused = plan.way.blocked is not None and plan.way.blocked.code == "downgrade-needs-restore"
    if allowed is Consent.PLAN:
        emit(options, "UpgradePlan", _document(plan), f"{_text(plan)}\nNothing has been changed.")
        return ExitCode.REFUSED if refused else ExitCode.OK
    if refused and plan.way.blocked is not None:
        raise RefusedError(plan.way.blocked.reason, code=plan.way.blocked.code, hint=plan.way.blocked.hint)
    if allowed is Consent.ASK:
        print(_text(plan))
        ask(target.cluster)
    return _ask_for(plan, arguments)


def _ask_for(plan: _Plan, arguments: argparse.Namespace) -> ExitCode:
    """Write the spec, and follow the members to it."""
    options, target = common(arguments), plan.target
    timeout, now = parse_human_duration(arguments.timeout), datetime.now(UTC)
    ControlStore(target.store).write_spec(replace(plan.spec, etcd_version=str(plan.wanted)))
    text = f"asked for etcd {plan.wanted} in place of {plan.spec.etcd_version}"
    History(target.store).note(Event(at=now, by=who(), what="upgrade", text=text, reason=arguments.reason))
    content: dict[str, object] = {"cluster": target.cluster, "etcd": target.etcd, "to": str(plan.wanted), "done": False}
    if not arguments.wait:
        emit(options, "Upgrade", content, f"{text}\nfollow it: etcd-manager status {target.etcd} {target.options}")
        return ExitCode.OK
    _follow(target, plan.wanted, time.monotonic() + timeout.total_seconds(), timeout=format_go_duration(timeout))
    emit(options, "Upgrade", {**content, "done": True}, f"all {plan.members} members run etcd {plan.wanted}")
    return ExitCode.OK


def _follow(target: Target, wanted: Version, deadline: float, *, timeout: str) -> None:
    """Tell each change on stderr until every member runs `wanted`; DeadlineError with what it waits for."""
    told, held = "", ""
    while True:
        report = read_report(target.store, target.etcd)
        rows = [row for row in report.members if row.get("role") in {"voter", "learner"}]
        found = ", ".join(f"{row.get('name')} {row.get('version') or '-'}{'' if row.get('serves') else ' (away)'}" for row in rows)
        held = next((p.reason for p in report.problems if p.reason.startswith(("upgrade-", "downgrade-", "members-differ"))), "")
        if f"{found}{held}" != told:
            told = f"{found}{held}"
            print(f"{found}{'  ! ' + held if held else ''}", file=sys.stderr)
        if rows and all(row.get("serves") and _is_at(row, wanted) for row in rows):
            return
        if time.monotonic() >= deadline:
            raise DeadlineError(
                f"not all members run etcd {wanted} after {timeout}: {held or found or 'nobody tells'}",
                code="upgrade-timeout",
                hint=f"it goes on; etcd-manager status {target.etcd} {target.options}",
            )
        time.sleep(_POLL_SECONDS)


def _is_at(row: Mapping[str, object], wanted: Version) -> bool:
    """Return whether a member runs what was asked for; kops' newer patch under an older name counts."""
    runs = parsed(str(row.get("version") or ""))
    return row.get("askedVersion") == str(wanted) and runs is not None and line(runs) == line(wanted)


def _plan(target: Target, wanted: Version) -> _Plan:
    """Find everything out; SpecError where there is nobody to plan with."""
    report = read_report(target.store, target.etcd)
    spec = ControlStore(target.store).spec()
    if spec is None:
        raise SpecError(f"{target.store.url} has no cluster spec", hint="etcd-manager-ctl configure-cluster")
    rows = [row for row in report.members if row.get("role") == "voter"]
    if not rows:
        raise SpecError("no manager tells of any member, so there is nothing to plan with", hint=f"etcd-manager status {target.etcd}")
    raft_leader = report.cluster.get("raftLeader")
    rows.sort(key=lambda row: (bool(row.get("serves")), row.get("name") == raft_leader, str(row.get("name"))))
    runners = [runner for row in rows if (runner := _runner(row)) is not None]
    common_versions = report.cluster.get("commonVersions")
    available = [v for text in (common_versions if isinstance(common_versions, list) else []) if (v := parsed(str(text))) is not None]
    way = plan_to(wanted, runners, available=available)
    return _Plan(target=target, spec=spec, wanted=wanted, way=way, gates=_gates(report, spec), members=len(rows))


def _runner(row: Mapping[str, object]) -> Runner | None:
    asked = parsed(str(row.get("askedVersion") or row.get("version") or ""))
    if asked is None:
        return None
    return Runner(
        peer=str(row.get("name")),
        asked=asked,
        runs=parsed(str(row.get("version") or "")) if row.get("serves") else None,
        storage=parsed(str(row.get("storageVersion") or "")),
        downgrade_target=parsed(str(row.get("downgradeTarget") or "")),
    )


def _gates(report: ClusterReport, spec: ClusterSpec) -> tuple[_Gate, ...]:
    """Return what the leader asks before each restart, as far as it was told lately."""
    stale = report.is_stale(datetime.now(UTC))
    serving = [row for row in report.members if row.get("role") == "voter" and row.get("serves") and not row.get("quarantined")]
    learners = [str(row.get("name")) for row in report.members if row.get("role") == "learner"]
    raised, compared = report.cluster.get("alarms"), report.cluster.get("hashes")
    alarms = [f"{one.get('alarm')} of {one.get('member')}" for one in raised if isinstance(one, dict)] if isinstance(raised, list) else []
    odd = compared.get("odd") if isinstance(compared, dict) else None
    equal = "all hold the same" if isinstance(compared, dict) and compared.get("equal") else "compared before the first restart"
    told = "nobody leads, or the leader tells nothing" if stale else f"told by {report.told_by}"
    return (
        _Gate(name="a leading manager", found=told, open=not stale),
        _Gate(name="members", found=f"{len(serving)} of {spec.member_count} serve", open=len(serving) >= spec.member_count),
        _Gate(name="learners", found=", ".join(learners) or "none", open=not learners),
        _Gate(name="alarms", found=", ".join(alarms) or "none", open=not alarms),
        _Gate(name="keys", found=f"{', '.join(str(n) for n in odd)} differ" if odd else equal, open=not odd, leader=not odd),
        _Gate(name="backup", found="one is taken and proven, unless one is younger than five minutes (S5)", open=True, leader=True),
    )


def _text(plan: _Plan) -> str:
    rows = [
        (number, step.peer or "-", step.before or "-", step.to or "-", step.text or "restart, then wait until it serves and has caught up")
        for number, step in enumerate(plan.way.steps, start=1)
    ]
    title = f"Plan for {plan.target.cluster} / {plan.target.etcd}: etcd {plan.spec.etcd_version} to {plan.wanted}"
    lines = [title, table(("", "MEMBER", "FROM", "TO", "WHAT"), rows)] if rows else [title, "every member runs it, or was told to"]
    lines += ["Before each restart:", *(f" {'✓' if gate.open else '!'} {gate.name:18} {gate.found}" for gate in plan.gates)]
    if plan.way.blocked is not None:
        lines.append(f"! then it stops: {plan.way.blocked.reason} ({plan.way.blocked.code}); {plan.way.blocked.hint}")
    if plan.way.restarts:
        pause = _PAUSE_OF_ONE if plan.members == 1 else _PAUSE_OF_WRITES
        lines.append(f"Estimated: {plan.way.restarts * _SECONDS_EACH} s in all; writes pause {pause}.")
    return "\n".join(lines)


def _document(plan: _Plan) -> dict[str, object]:
    blocked = plan.way.blocked
    return {
        "cluster": plan.target.cluster,
        "etcd": plan.target.etcd,
        "from": plan.spec.etcd_version,
        "to": str(plan.wanted),
        "changed": False,
        "steps": [{"member": s.peer, "from": s.before, "to": s.to, "text": s.text} for s in plan.way.steps],
        "gates": [{"name": g.name, "found": g.found, "open": g.open, "leaderSeesToIt": g.leader} for g in plan.gates],
        "blocked": {"code": blocked.code, "reason": blocked.reason, "hint": blocked.hint} if blocked is not None else None,
        "restarts": plan.way.restarts,
        "estimatedSeconds": plan.way.restarts * _SECONDS_EACH,
    }
