"""`etcd-manager configure-cluster`: change how many members an etcd cluster is to have, or which etcd they are to run.

It writes `control/etcd-cluster-spec`, as kops does at each `update cluster`; the leading manager follows it step by step. A plan first.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime

from agents.cli import common, common_options, emit
from agents.consent import Consent, ask, consent, consent_options
from agents.errors import SpecError
from agents.exit_codes import ExitCode
from agents.versions import Version
from etcdmanager.commands.cluster_status import ClusterReport, read_report
from etcdmanager.commands.target import Target, target_of, target_options, who
from etcdmanager.control.history import Event, History
from etcdmanager.control.store import ControlStore
from etcdmanager.quorum import quorum
from etcdmanager.spec import ClusterSpec
from etcdmanager.told import told_cluster

#: etcd's documentation: more than seven slow every write and bear nothing that matters.
_AT_MOST = 7


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    parser.add_argument("etcd", nargs="?", default="main", metavar="ETCD", help="main (the default), events, cilium or leases")
    parser.add_argument("--member-count", type=int, default=0, metavar="N", help="how many members: 1, 3, 5 or 7")
    parser.add_argument("--etcd-version", default="", metavar="VERSION", help="which etcd they are to run (see also the verb upgrade)")
    parser.add_argument("--reason", default="", help="why; kept in the history (INC-123)")
    consent_options(parser, subject="whose etcd it is")
    target_options(parser)
    common_options(parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    target: Target
    #: None where none was written yet.
    before: ClusterSpec | None
    after: ClusterSpec
    steps: tuple[str, ...]


def run(arguments: argparse.Namespace) -> ExitCode:
    """Show the plan, and write the spec where that is allowed."""
    target = target_of(arguments, arguments.etcd)
    control = ControlStore(target.store)
    before = control.spec()
    after = _wanted(before, arguments.member_count, arguments.etcd_version)
    plan = _Plan(target=target, before=before, after=after, steps=steps(before, after, _report(target)))
    allowed = consent(arguments, target.cluster)
    if allowed is Consent.PLAN or before == after:
        emit(common(arguments), "EtcdSpecPlan", _document(plan, changed=False), f"{_text(plan)}\nNothing has been changed.")
        return ExitCode.OK
    if allowed is Consent.ASK:
        print(_text(plan))
        ask(target.cluster)
    control.write_spec(after)
    text = f"{_words(before)} to {_words(after)}"
    History(target.store).note(Event(at=datetime.now(UTC), by=who(), what="configure-cluster", text=text, reason=arguments.reason))
    written = f"{target.cluster} {target.etcd}: {text}; the leading manager follows it (etcd-manager status)"
    emit(common(arguments), "EtcdSpecPlan", _document(plan, changed=True), written)
    return ExitCode.OK


def steps(before: ClusterSpec | None, after: ClusterSpec, report: ClusterReport | None) -> tuple[str, ...]:
    """Return what the leading manager will do, one sentence each; pure."""
    if before == after:
        return ()
    told = told_cluster(report.cluster) if report is not None else None
    voters = told.voters if told is not None and told.voters else (before.member_count if before is not None else 0)
    found = []
    if not voters:
        found.append(f"once {after.member_count} managers answer and no disk and no backup holds anything: form the cluster")
    elif after.member_count > voters:
        found += [
            "back up first, unless the newest backup is younger than five minutes",
            f"add {after.member_count - voters}, one at a time: an empty peer joins as a learner, and votes once it has caught up",
        ]
    elif after.member_count < voters:
        found += [
            "back up first, unless the newest backup is younger than five minutes",
            f"remove {voters - after.member_count}, one at a time, keeping quorum ({quorum(voters)} of {voters}); data goes to the trash",
        ]
    if before is not None and before.etcd_version != after.etcd_version:
        found.append(
            f"take every member from etcd {before.etcd_version} to {after.etcd_version}; `etcd-manager upgrade --plan` has the way"
        )
    found.append("kops writes the spec of the cluster again at each `kops update cluster --yes`: change it there, too")
    return tuple(found)


def _wanted(before: ClusterSpec | None, count: int, version: str) -> ClusterSpec:
    if not count and not version:
        raise SpecError("what is to change? give --member-count, --etcd-version or both", code="usage")
    members = count or (before.member_count if before is not None else 0)
    wanted = version.removeprefix("v") or (before.etcd_version if before is not None else "")
    if not members or not wanted:
        raise SpecError("there is no spec yet: give --member-count and --etcd-version", code="usage")
    if members not in range(1, _AT_MOST + 1, 2):
        raise SpecError(f"wanted 1, 3, 5 or 7 members, found {members}: an even number bears no more losses than one less", code="usage")
    return ClusterSpec(member_count=members, etcd_version=str(Version.parse(wanted)))


def _report(target: Target) -> ClusterReport | None:
    report = read_report(target.store, target.etcd) if ControlStore(target.store).is_created() else None
    return None if report is None or report.is_stale(datetime.now(UTC)) else report


def _words(spec: ClusterSpec | None) -> str:
    return "no spec" if spec is None else f"{spec.member_count} members of etcd {spec.etcd_version}"


def _text(plan: _Plan) -> str:
    head = f"Plan for {plan.target.cluster} / {plan.target.etcd}: {_words(plan.before)} to {_words(plan.after)}"
    return "\n".join([head, *(f" {number} {step}" for number, step in enumerate(plan.steps, start=1))])


def _document(plan: _Plan, *, changed: bool) -> dict[str, object]:
    def of(spec: ClusterSpec | None) -> dict[str, object] | None:
        return None if spec is None else {"memberCount": spec.member_count, "etcdVersion": spec.etcd_version}

    return {
        "cluster": plan.target.cluster,
        "etcd": plan.target.etcd,
        "from": of(plan.before),
        "to": of(plan.after),
        "steps": list(plan.steps),
        "changed": changed,
    }
