"""`etcd-manager move-leader`, `remove-member`, `replace-member`: ask the leading manager for a change of one member, and wait for it.

The request lies in the control store; the leader carries it out by its own rules, or answers which rule refuses it.
"""

from __future__ import annotations

import argparse
import secrets
import time
from datetime import UTC, datetime

from agents.cli import common, common_options, emit
from agents.consent import Consent, ask, consent, consent_options
from agents.durations import format_go_duration, parse_human_duration
from agents.errors import DeadlineError, RefusedError, SpecError
from agents.exit_codes import ExitCode
from etcdmanager.commands.cluster_status import ClusterReport, read_report
from etcdmanager.commands.member_advice import best_follower, row_of, safe_to_stop, trusted
from etcdmanager.commands.target import Target, target_of, target_options, who
from etcdmanager.control.history import Event, History
from etcdmanager.control.member_requests import MemberAnswer, MemberRequest, MemberVerb
from etcdmanager.control.store import ControlStore

_POLL_SECONDS = 0.5
_ETCDS = ("main", "events", "cilium", "leases")


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of all three."""
    parser.add_argument("words", nargs="*", metavar="[ETCD] NAME", help="main (the default), events, cilium or leases; then the member")
    consent_options(parser, subject="whose member it is")
    parser.add_argument("--reason", default="", help="why; kept with the request and in the history (INC-123)")
    parser.add_argument("--timeout", default="5m", metavar="DURATION", help="how long to wait for it (default 5m)")
    target_options(parser)
    common_options(parser)


def run_move_leader(arguments: argparse.Namespace) -> ExitCode:
    """Have raft led by another member: the named one, or the follower that is furthest ahead. Nothing is at stake, nobody is asked."""
    target, report, name = _named(arguments, optional=True)
    chosen = name or best_follower(report)
    row_of(report, chosen)
    if arguments.plan:
        text = f"raft is led by {report.cluster.get('raftLeader') or 'nobody'}, and would be by {chosen}\nNothing has been changed."
        emit(common(arguments), "MemberPlan", {"verb": "move-leader", "member": chosen, "changed": False}, text)
        return ExitCode.OK
    return _told(arguments, target, MemberVerb.MOVE_LEADER, chosen)


def run_remove(arguments: argparse.Namespace) -> ExitCode:
    """Take a member off the list, where more run than are wanted; its data goes to its trash."""
    return _change(arguments, MemberVerb.REMOVE)


def run_replace(arguments: argparse.Namespace) -> ExitCode:
    """Take a member off the list, and have an empty peer take its place; its data goes to its trash."""
    return _change(arguments, MemberVerb.REPLACE)


def _change(arguments: argparse.Namespace, verb: MemberVerb) -> ExitCode:
    target, report, name = _named(arguments)
    row_of(report, name)
    untrusted = trusted(report, datetime.now(UTC))
    if untrusted is not None:
        raise untrusted.error()
    advice = safe_to_stop(report, name, datetime.now(UTC), leaves=True)
    steps = _steps(report, verb, name)
    plan = "\n".join(f" {number} {step}" for number, step in enumerate(steps, start=1))
    text = f"Plan for {target.cluster} / {target.etcd}: {verb.value} {name}\n{plan}\n{'' if advice.safe else '! '}{advice.reason}"
    allowed = consent(arguments, target.cluster)
    if allowed is Consent.PLAN:
        content = {"verb": verb.value, "member": name, "steps": steps, "safe": advice.safe, "reason": advice.reason, "changed": False}
        emit(common(arguments), "MemberPlan", content, f"{text}\nNothing has been changed.")
        return ExitCode.OK if advice.safe else ExitCode.REFUSED
    if not advice.safe:
        raise advice.error()
    if allowed is Consent.ASK:
        print(text)
        ask(target.cluster)
    return _told(arguments, target, verb, name)


def _steps(report: ClusterReport, verb: MemberVerb, name: str) -> list[str]:
    steps = ["back up, unless the newest backup is younger than five minutes"]
    if report.cluster.get("raftLeader") == name:
        steps.append(f"move raft's lead away from {name}")
    steps += [f"take {name} off etcd's list", f"stop its etcd; its data goes to data-trashcan/ on {name}"]
    if verb is MemberVerb.REPLACE:
        steps.append("add an empty peer as a learner, and make it a voter once it has caught up")
    return steps


def _named(arguments: argparse.Namespace, *, optional: bool = False) -> tuple[Target, ClusterReport, str]:
    """Return the target, what is told of it, and the member that the words name; "" for none where that is allowed."""
    words = [str(word) for word in arguments.words]
    match words:
        case [etcd, name]:
            pass
        case [etcd] if optional and etcd in _ETCDS:
            name = ""
        case [name]:
            etcd = "main"
        case [] if optional:
            etcd, name = "main", ""
        case _:
            raise SpecError(f"wanted [ETCD] NAME, found {' '.join(words) or 'nothing'}", code="usage")
    target = target_of(arguments, etcd)
    return target, read_report(target.store, target.etcd), name


def _told(arguments: argparse.Namespace, target: Target, verb: MemberVerb, name: str) -> ExitCode:
    answer = ask_leader(arguments, target, verb, name)
    content = {"verb": verb.value, "member": name, "request": answer.id, "text": answer.text, "changed": True}
    emit(common(arguments), "MemberResult", content, answer.text)
    return ExitCode.OK


def ask_leader(arguments: argparse.Namespace, target: Target, verb: MemberVerb, name: str) -> MemberAnswer:
    """Return the leader's answer to a request; RefusedError where a rule refuses, DeadlineError after --timeout."""
    timeout, now = parse_human_duration(arguments.timeout), datetime.now(UTC)
    request = MemberRequest(
        id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}",
        verb=verb,
        member=name,
        requested_by=who(),
        requested_at=now,
        reason=arguments.reason,
    )
    control = ControlStore(target.store)
    control.member_requests.ask(request)
    event = Event(at=now, by=request.requested_by, what=verb.value, text=f"asked for {verb.value} {name}", reason=request.reason)
    History(target.store).note(event)
    answer = _await(control, request, time.monotonic() + timeout.total_seconds())
    if answer is None:
        raise DeadlineError(
            f"{verb.value} {name} is not done within {format_go_duration(timeout)}; the request {request.id} stands",
            code="request-timeout",
            hint=f"etcd-manager status {target.etcd} {target.options}",
        )
    if answer.code:
        raise RefusedError(f"refused, nothing was changed: {answer.code}: {answer.text}", code=answer.code)
    return answer


def _await(control: ControlStore, request: MemberRequest, deadline: float) -> MemberAnswer | None:
    while time.monotonic() < deadline:
        answer = control.member_requests.answer_to(request.id)
        if answer is not None:
            return answer
        time.sleep(_POLL_SECONDS)
    return None
