"""What `plan` and `verify` share: the machine compared with its plan, printed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from agents.cli import common, emit
from agents.exit_codes import ExitCode

if TYPE_CHECKING:
    from nodeup.engine.report import PlanReport
    from nodeup.session import Options, Session


def show_differences(arguments: argparse.Namespace, options: Options, *, kind: str) -> ExitCode:
    """Print how the machine differs from its plan; FINDING if it does."""
    from nodeup.engine.report import plan_document, plan_lines
    from nodeup.session import open_session

    session = open_session(options)
    report = _difference(session)
    lines = list(plan_lines(report, with_diffs=not arguments.no_diff))
    lines += [f"Below a directory these are not considered: {', '.join(session.left_out)}"] if session.left_out else []
    lines += [f"{path} is not wanted any more and stays: it is not as nodeup wrote it" for path in session.foreign]
    emit(
        common(arguments),
        kind,
        {**plan_document(report), "kind": kind, "leftOut": list(session.left_out), "foreign": list(session.foreign)},
        "\n".join(lines),
    )
    return ExitCode.OK if report.is_empty else ExitCode.FINDING


def _difference(session: Session) -> PlanReport:
    from nodeup.engine.converge import observe
    from nodeup.engine.report import plan_report

    outcomes = observe(session.graph, session.host, session.context)
    return plan_report(session.graph.steps, outcomes, unit_directory=session.facts.distribution.unit_directory)
