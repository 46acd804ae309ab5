"""`nodeup rollback`: files and units back to as they were before a run."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agents.cli import common, emit, table
from agents.consent import Consent, ask, consent, consent_options
from agents.errors import AccessError
from agents.exit_codes import ExitCode

if TYPE_CHECKING:
    from agents.host.protocol import Host
    from nodeup.engine.history import Run
    from nodeup.engine.report import PlanReport

_FORWARD = "The next apply, at the latest that of the next boot, converges this machine to its specification again; `--hold` keeps it so."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument(
        "before", nargs="?", default="", metavar="RUN", help="the run to go back before (default: the last that changed anything)"
    )
    parser.add_argument("--list", action="store_true", help="show the runs that are kept")
    consent_options(parser)
    parser.add_argument("--hold", action="store_true", help="keep every apply away afterwards, until `nodeup apply --lift-hold`")
    parser.add_argument("--root", type=Path, default=None, metavar="DIR", help="act on this directory in place of the machine")


def run(arguments: argparse.Namespace) -> ExitCode:
    """List, plan or go back."""
    from agents.host.local import LocalHost
    from agents.host.rooted import RootedHost
    from nodeup.engine.history import read_runs
    from nodeup.engine.rollback import chosen_run

    if arguments.root is None and os.geteuid() != 0:
        raise AccessError("nodeup rollback reads what is kept for root alone", hint="run it as root")
    host: Host = LocalHost() if arguments.root is None else RootedHost(arguments.root)
    runs = read_runs(host)
    if arguments.list:
        return _list(arguments, runs)
    target = chosen_run(runs, arguments.before)
    allowed = consent(arguments)
    if allowed is Consent.PLAN:
        return _plan(arguments, host, runs, target)
    if allowed is Consent.ASK:
        sys.stdout.write("\n".join([*_plan_lines(_report(host, runs, target, on_machine=arguments.root is None)), ""]))
        ask()
    return _go_back(arguments, host, runs, target)


def _list(arguments: argparse.Namespace, runs: tuple[Run, ...]) -> ExitCode:
    from agents.timestamps import format_timestamp

    rows = [
        (run.id, run.verb, run.node, run.config_hash[:12], len(run.changes), "complete" if run.complete else "not complete") for run in runs
    ]
    items = [
        {
            "id": run.id,
            "began": format_timestamp(run.began),
            "verb": run.verb,
            "instanceGroup": run.node,
            "configHash": run.config_hash,
            "complete": run.complete,
            "changes": [{"id": change.id, "path": change.path, "unit": change.unit} for change in run.changes],
        }
        for run in runs
    ]
    text = table(("RUN", "VERB", "INSTANCE GROUP", "CONFIG", "CHANGES", "END"), rows, right=("CHANGES",))
    emit(common(arguments), "NodeRuns", {"items": items}, text if runs else "No run that changed anything is kept.")
    return ExitCode.OK


def _plan(arguments: argparse.Namespace, host: Host, runs: tuple[Run, ...], target: Run) -> ExitCode:
    from nodeup.engine.report import plan_document

    report = _report(host, runs, target, on_machine=arguments.root is None)
    text = "\n".join([*_plan_lines(report), "Nothing was changed; --yes does it."])
    emit(common(arguments), "NodeRollbackPlan", {**plan_document(report), "kind": "NodeRollbackPlan", "before": target.id}, text)
    return ExitCode.OK if report.is_empty else ExitCode.FINDING


def _plan_lines(report: PlanReport) -> list[str]:
    from nodeup.engine.report import plan_lines

    return [*plan_lines(report), _FORWARD]


def _report(host: Host, runs: tuple[Run, ...], target: Run, *, on_machine: bool) -> PlanReport:
    from agents.clock import SystemClock
    from nodeup.engine.converge import observe
    from nodeup.engine.report import plan_report
    from nodeup.going_back import context_without_plan, graph_back

    context = context_without_plan(host, SystemClock())
    graph = graph_back(host, runs, target, on_machine=on_machine)
    outcomes = observe(graph, host, context)
    return plan_report(graph.steps, outcomes, unit_directory=context.distribution.unit_directory)


def _go_back(arguments: argparse.Namespace, host: Host, runs: tuple[Run, ...], target: Run) -> ExitCode:
    from agents.clock import SystemClock
    from nodeup.attempt import new_recorder
    from nodeup.engine.report import result_document, result_lines
    from nodeup.going_back import context_without_plan, go_back, graph_back
    from nodeup.hold import HOLD, hold
    from nodeup.lock import apply_lock
    from nodeup.loop import first_error

    clock = SystemClock()
    with apply_lock(host, clock):
        if arguments.hold:
            hold(host, reason=f"rollback before run {target.id}", now=clock.now())
        recorder = new_recorder(host, clock, "rollback")
        graph = graph_back(host, runs, target, on_machine=arguments.root is None)
        result = go_back(graph, host, context_without_plan(host, clock), recorder)
    if not result.is_complete:
        raise first_error(result)
    after = f"{HOLD} keeps every apply away; `nodeup apply --lift-hold` ends that." if arguments.hold else _FORWARD
    text = "\n".join([*result_lines(result), f"This machine is as before run {target.id}.", after])
    emit(common(arguments), "NodeRun", {**result_document(result), "before": target.id, "held": arguments.hold}, text)
    return ExitCode.OK
