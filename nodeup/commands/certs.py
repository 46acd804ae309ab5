"""`nodeup certs`: every certificate that nodeup manages on this machine, and `renew`, which issues some anew on a control plane."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from agents.cli import common, emit, table
from agents.consent import Consent, ask, consent, consent_options
from agents.errors import AccessError, NotFoundError, RefusedError, SpecError
from agents.exit_codes import ExitCode
from nodeup.commands.options import options_of, plan_options

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from agents.host.protocol import Host
    from nodeup.certs import Place, Row
    from nodeup.engine.graph import Graph
    from nodeup.session import Options, Session


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    plan_options(parser)
    parser.add_argument("action", nargs="?", choices=("renew",), help="issue certificates anew and restart the units that use them")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; without one: all that are not ok")
    consent_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """List (FINDING where one is not ok), or renew."""
    from nodeup.session import open_session

    options = replace(options_of(arguments), ask_network=False)
    session = open_session(options)
    rows = look(session, _all_resources(session, options))
    if arguments.action == "renew":
        return _renew(arguments, options, session, rows)
    emit(common(arguments), "NodeCertificates", {"items": [row.document for row in rows]}, _table(rows))
    return ExitCode.OK if all(row.is_good for row in rows) else ExitCode.FINDING


def look(session: Session, plan: Collection[object]) -> tuple[Row, ...]:
    """Return all certificates of the plan, as they are on the machine."""
    from nodeup.certs import places, row

    found = places(plan, session.spec.keysets, session.facts.distribution.unit_directory)  # type: ignore[arg-type]
    now = session.clock.now()
    return tuple(row(place, _content(session.host, place.path), _content(session.host, place.key_path), now=now) for place in found)


def _all_resources(session: Session, options: Options) -> Collection[object]:
    """Return the plan with what cannot be made below a directory: the units, which say who uses what."""
    from nodeup.planners import plan

    return plan(session.spec, session.facts, options.profile)


def _content(host: Host, path: str) -> bytes | None:
    try:
        return host.read(path) if path else None
    except NotFoundError:
        return None


def _table(rows: Sequence[Row]) -> str:
    from agents.clock import SystemClock
    from agents.durations import format_age

    now = SystemClock().now()
    columns = ("STATE", "NAME", "FILE", "ENDS IN", "RENEWED IN", "ISSUER", "USED BY")
    cells = [
        [
            row.state.value,
            row.place.name,
            row.place.path,
            None if row.not_after is None else format_age(row.not_after - now),
            None if row.renew_at is None else format_age(row.renew_at - now),
            row.issuer or None,
            ", ".join([*row.place.units, *(f"pod {pod}" for pod in row.place.pods)]) or None,
        ]
        for row in rows
    ]
    return table(columns, cells)


def _renew(arguments: argparse.Namespace, options: Options, session: Session, rows: Sequence[Row]) -> ExitCode:
    from nodeup.certs import cut

    chosen = _chosen(arguments.names, session, rows)
    if not chosen:
        emit(common(arguments), "NodeRenewal", {"items": []}, "all certificates are ok; name one to renew it all the same")
        return ExitCode.OK
    touched = [row.place for row in rows if row.place.name in chosen]
    ids = cut(_all_resources(session, options), chosen, touched)  # type: ignore[arg-type]
    allowed = consent(arguments)
    lines = list(_plan_lines(chosen, touched))
    document: dict[str, object] = {"names": sorted(chosen), "files": [place.path for place in touched], "isPlan": allowed is Consent.PLAN}
    if allowed is Consent.PLAN:
        emit(common(arguments), "NodeRenewal", document, "\n".join([*lines, "nothing was changed; --yes renews"]))
        return ExitCode.FINDING
    if allowed is Consent.ASK:
        sys.stdout.write("\n".join([*lines, ""]))
        ask()
    _carry_out(options, chosen, ids)
    after = [row for row in look(session, _all_resources(session, options)) if row.place.name in chosen]
    emit(common(arguments), "NodeRenewal", {**document, "items": [row.document for row in after]}, "\n".join([*lines, "", _table(after)]))
    return ExitCode.OK if all(row.is_good for row in after) else ExitCode.FINDING


def _chosen(names: Sequence[str], session: Session, rows: Sequence[Row]) -> frozenset[str]:
    """Return the certificates to renew; RefusedError on a node that cannot sign, NotFoundError for a name that the plan does not have."""
    from nodeup.resources.certificate import Certificate

    signed_here = {step.name for step in session.graph.steps if isinstance(step, Certificate)}
    if not signed_here:
        raise RefusedError(
            "this node cannot sign certificates: kops-controller issues them, and to no node that is Ready",
            code="not-signed-here",
            hint="nodeup asks for new ones in the last third of their life by itself, at each boot",
        )
    unknown = [name for name in names if name not in signed_here]
    if unknown:
        raise NotFoundError(f"no certificate of this node is named {', '.join(unknown)}", hint=f"known: {', '.join(sorted(signed_here))}")
    return frozenset(names or (row.place.name for row in rows if not row.is_good and row.place.name in signed_here))


def _plan_lines(chosen: Collection[str], touched: Sequence[Place]) -> list[str]:
    lines = [f"~ certificate {name}: issue it anew, with a new key" for name in sorted(chosen)]
    lines += [f"~ file {place.path}" for place in touched]
    lines += [f"↻ {unit} restart" for unit in dict.fromkeys(unit for place in touched for unit in place.units)]
    pods = dict.fromkeys(pod for place in touched for pod in place.pods)
    # kubelet restarts a static pod when its manifest changes, and not for files that it mounts.
    lines += [f"! pod {pod} reads it when it starts: crictl stop $(crictl ps -q --name {pod})" for pod in pods]
    return lines


def _carry_out(options: Options, chosen: Collection[str], ids: Collection[str]) -> None:
    """Empty the kept certificates and converge what they are made into; after a crash in between, the next apply issues them."""
    import threading

    from agents.clock import SystemClock
    from nodeup.attempt import attempt, new_recorder
    from nodeup.certs import kept_path
    from nodeup.hold import refuse_if_held
    from nodeup.lock import apply_lock
    from nodeup.loop import first_error
    from nodeup.progress import Progress
    from nodeup.session import open_host

    if options.root is None and os.geteuid() != 0:
        raise AccessError("nodeup certs renew changes the machine and needs root")
    host, clock = open_host(options), SystemClock()
    with apply_lock(host, clock):
        refuse_if_held(host)
        progress = Progress(host, clock)
        progress.attempt(1)
        for name in sorted(chosen):
            # Empty, not gone: one that is gone may be taken over from where it is used.
            host.write(kept_path(name), b"", mode=0o600)
        result = attempt(
            options, progress, threading.Event(), new_recorder(host, clock, "certs renew"), choose=lambda session: _cut(session.graph, ids)
        )
        if not result.is_complete:
            error = first_error(result)
            progress.failed(error)
            raise error
        progress.done(result)


def _cut(graph: Graph, ids: Collection[str]) -> Graph:
    from nodeup.engine.graph import Graph

    steps = tuple(step for step in graph.steps if step.id in ids)
    if not steps:
        raise SpecError("nothing of the plan is to be renewed")
    kept = {step.id for step in steps}
    return Graph(steps=steps, dependencies={one: tuple(on for on in graph.dependencies[one] if on.on in kept) for one in kept})
