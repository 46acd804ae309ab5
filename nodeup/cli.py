"""nodeup's command line: plan, apply, verify, render, explain, status, install; and kops' own flags (`nodeup.legacy`)."""

from __future__ import annotations

import argparse
import os
import random
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agents.cli import Parser, common, common_options, emit, run_command, table
from agents.errors import AccessError, NotFoundError, RefusedError
from agents.exit_codes import ExitCode
from nodeup.legacy import is_legacy, to_verb

if TYPE_CHECKING:
    from nodeup.engine.converge import Result
    from nodeup.engine.report import PlanReport
    from nodeup.progress import Progress
    from nodeup.session import Options, Session

VERBS = ("plan", "apply", "verify", "render", "explain", "status", "install")


def main() -> int:
    """Run nodeup, and return its exit code."""
    argv = sys.argv[1:]
    if is_legacy(argv, VERBS):
        return run_command(to_verb(argv), _parser)
    return run_command(argv, _parser)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="nodeup", description="Converge this machine to what a kops cluster wants it to be.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    common_options(parser)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    plan = _verb(verbs, "plan", _plan, "show what apply would change; changes, downloads and asks nothing (exit 0: nothing, 2: changes)")
    plan.add_argument("--no-diff", action="store_true", help="no text differences, only one line for each change")
    apply = _verb(verbs, "apply", _apply, "make the machine so, and look again")
    apply.add_argument("--retries", type=int, default=0, metavar="N", help="attempts after the first; -1: until it works (default 0)")
    verify = _verb(verbs, "verify", _verify, "compare everything, by its bytes, with what is wanted (exit 0: equal, 2: drift)")
    verify.add_argument("--no-diff", action="store_true", help="no text differences")
    render = _verb(verbs, "render", _render, "write all files, certificates and units below a directory; no commands, no machine needed")
    render.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    explain = _verb(verbs, "explain", _explain, "show where a file, unit or other thing comes from and what it waits for")
    explain.add_argument("thing", metavar="PATH|NAME", help="a path, a unit, or a part of a resource's name")
    _verb(verbs, "install", _install, "install nodeup's own unit, kops-configuration.service, and start it")
    status = verbs.add_parser("status", help="show what nodeup on this machine does, or did last")
    status.add_argument("--root", type=Path, default=None, metavar="DIR", help="look below this directory")
    common_options(status)
    status.set_defaults(run=_status)
    return parser


class _Version(argparse.Action):
    """--version; the package's metadata are read only for it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("node-agents")
        except PackageNotFoundError:
            number = "unknown"
        print(f"nodeup version {number}")
        parser.exit()


def _verb(verbs: argparse._SubParsersAction[Parser], name: str, run: object, text: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text)
    parser.add_argument("--conf", default="node.yaml", metavar="FILE|URL", help="the boot configuration (kube_env.yaml)")
    parser.add_argument("--cache", default="/var/cache/nodeup", metavar="DIR", help="where assets are kept (default /var/cache/nodeup)")
    parser.add_argument(
        "--profile", choices=("native", "kops"), default="native", help="native: our own daemons; kops: exactly what kops makes"
    )
    parser.add_argument("--facts", type=Path, default=None, metavar="FILE", help="facts of the cloud and the resolver, in place of asking")
    if name != "render":
        parser.add_argument("--root", type=Path, default=None, metavar="DIR", help="act on this directory in place of the machine")
    parser.add_argument("--with-assets", action="store_true", help="below a directory: binaries, too")
    common_options(parser)
    parser.set_defaults(run=run)
    return parser


def _plan(arguments: argparse.Namespace) -> ExitCode:
    return _show_differences(arguments, replace(_options(arguments), ask_network=False), kind="NodePlan")


def _verify(arguments: argparse.Namespace) -> ExitCode:
    return _show_differences(arguments, replace(_options(arguments), ask_network=False, trust_digests=False), kind="NodeDrift")


def _show_differences(arguments: argparse.Namespace, options: Options, *, kind: str) -> ExitCode:
    from nodeup.engine.report import plan_document, plan_lines
    from nodeup.session import open_session

    session = open_session(options)
    report = _difference(session)
    lines = list(plan_lines(report, with_diffs=not arguments.no_diff))
    lines += [f"Below a directory these are not considered: {', '.join(session.left_out)}"] if session.left_out else []
    emit(common(arguments), kind, {**plan_document(report), "kind": kind, "leftOut": list(session.left_out)}, "\n".join(lines))
    return ExitCode.OK if report.is_empty else ExitCode.FINDING


def _difference(session: Session) -> PlanReport:
    from nodeup.engine.converge import observe
    from nodeup.engine.report import plan_report

    outcomes = observe(session.graph, session.host, session.context)
    return plan_report(session.graph.steps, outcomes, unit_directory=session.facts.distribution.unit_directory)


def _apply(arguments: argparse.Namespace) -> ExitCode:
    """Attempt until it works; SIGTERM and Ctrl-C let running steps end and start no further one."""
    from agents.clock import SystemClock
    from nodeup.lock import apply_lock
    from nodeup.loop import Stopped, attempts
    from nodeup.progress import CONSOLE, Progress
    from nodeup.session import open_host

    options = _options(arguments)
    if options.root is None and os.geteuid() != 0:
        raise AccessError("nodeup apply changes the machine and needs root", hint="or use `nodeup render --out DIR`")
    host, clock = open_host(options), SystemClock()
    stopping = _stop_on_signals()
    is_unit = "INVOCATION_ID" in os.environ and options.root is None
    progress = Progress(host, clock, console=CONSOLE if is_unit else None)
    with apply_lock(host, clock):
        try:
            result = attempts(
                lambda: _attempt(options, progress, stopping),
                retries=arguments.retries,
                progress=progress,
                clock=clock,
                random=random.random,
                pause=lambda duration: stopping.wait(duration.total_seconds()),
            )
        except Stopped as stop:
            sys.stderr.write(f"{stop}\n")
            return ExitCode.INTERRUPTED
    _show_result(arguments, result)
    return ExitCode.OK


def _attempt(options: Options, progress: Progress, stopping: threading.Event) -> Result:
    from agents.clock import SystemClock
    from nodeup.engine.converge import converge
    from nodeup.loop import StoppableClock, Stopped
    from nodeup.session import open_session

    progress.phase("load")
    clock = StoppableClock(SystemClock(), stopping)
    session = open_session(options, clock=clock, on_wait=progress.waiting_for_controller)
    progress.phase("apply", f"{len(session.graph.steps)} steps for {session.spec.boot.instance_group} of {session.spec.cluster_name}")
    try:
        result = converge(session.graph, session.host, session.context, on_event=progress.event, is_stopping=stopping.is_set)
    finally:
        session.context.digests.save()
    if stopping.is_set() and not result.is_complete:
        raise Stopped("nodeup was told to stop; the next run completes what is missing")
    if result.is_complete:
        session.context.journal.forget_others(step.id for step in session.graph.steps)
    return result


def _render(arguments: argparse.Namespace) -> ExitCode:
    from nodeup.engine.converge import converge
    from nodeup.loop import first_error
    from nodeup.session import open_session

    options = replace(_options(arguments), root=arguments.out, ask_network=False)
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AccessError(f"--out {arguments.out}: {error.strerror}") from error
    session = open_session(options)
    result = converge(session.graph, session.host, session.context)
    session.context.digests.save()
    if not result.is_complete:
        raise first_error(result)
    _show_result(arguments, result, left_out=session.left_out)
    return ExitCode.OK


def _show_result(arguments: argparse.Namespace, result: Result, left_out: tuple[str, ...] = ()) -> None:
    from nodeup.engine.report import result_document, result_lines

    lines = list(result_lines(result))
    lines += [f"not rendered: {', '.join(left_out)}"] if left_out else []
    # "success" is kops' last word, and scripts wait for it in the console's output.
    emit(common(arguments), "NodeRun", {**result_document(result), "leftOut": list(left_out)}, "\n".join([*lines, "success"]))


def _explain(arguments: argparse.Namespace) -> ExitCode:
    from nodeup.explain import explain
    from nodeup.session import open_session

    options = replace(_options(arguments), ask_network=False)
    session = open_session(options)
    found = explain(arguments.thing, session, options.profile)
    if not found:
        raise NotFoundError(f"nothing in the plan of this node is named {arguments.thing}")
    text = "\n\n".join(entry.text for entry in found)
    emit(common(arguments), "NodeExplanation", {"items": [entry.document for entry in found]}, text)
    return ExitCode.OK


def _install(arguments: argparse.Namespace) -> ExitCode:
    from agents.host.distribution import parse_os_release
    from nodeup.install import install, own_command
    from nodeup.session import open_host

    if arguments.root is not None:
        raise RefusedError("install starts a unit and needs a machine, not --root")
    if os.geteuid() != 0:
        raise AccessError("nodeup install writes a unit and needs root")
    host = open_host(_options(arguments))
    distribution = parse_os_release(host.read("/etc/os-release").decode(errors="replace"))
    words = [word for word in sys.argv if word != "install"]
    install(host, distribution, own_command(words, os.environ), os.environ)
    print("service installed")
    return ExitCode.OK


def _status(arguments: argparse.Namespace) -> ExitCode:
    from agents.host.local import LocalHost
    from agents.host.rooted import RootedHost
    from agents.status import read_status, status_path

    host = LocalHost() if arguments.root is None else RootedHost(arguments.root)
    try:
        status = read_status(host, status_path("nodeup"))
    except NotFoundError as error:
        raise NotFoundError("nodeup has not run on this machine since it booted", hint="journalctl -u kops-configuration") from error
    details = status.details
    lines = [f"{status.state}: {status.message}"]
    lines += [f"waiting for {wait.reason} until {wait.until}: {wait.last_error}" for wait in status.waiting]
    lines += [f"hint: {wait.hint}" for wait in status.waiting if wait.hint]
    rows = details.get("timeline")
    if isinstance(rows, list) and rows:
        columns = ("phase", "from", "to", "steps", "changed")
        lines += ["", table(columns, [[row.get(column) for column in columns] for row in rows], right=columns[1:])]
    document = {"state": status.state, "message": status.message, "details": dict(details)}
    emit(common(arguments), "NodeStatus", document, "\n".join(lines))
    return ExitCode.OK if status.state == "done" else ExitCode.FINDING


def _options(arguments: argparse.Namespace) -> Options:
    from nodeup.planners.context import Profile
    from nodeup.session import Options

    return Options(
        conf=arguments.conf,
        environment=dict(os.environ),
        cache=arguments.cache,
        profile=Profile(arguments.profile),
        root=getattr(arguments, "root", None),
        with_assets=arguments.with_assets,
        facts=arguments.facts,
        ask_network=arguments.facts is None,
    )


def _stop_on_signals() -> threading.Event:
    """Return an event that the first SIGTERM or SIGINT sets; a second one ends the process as usual."""
    import signal

    stopping = threading.Event()

    def stop(number: int, _frame: object) -> None:
        stopping.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return stopping


if __name__ == "__main__":
    sys.exit(main())
