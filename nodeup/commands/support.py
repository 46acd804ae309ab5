"""`nodeup support`: one archive with what is needed to help from afar; secrets are taken out of all of it."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agents.cli import common, emit
from agents.errors import AccessError
from agents.exit_codes import ExitCode
from nodeup.commands.options import options_of, plan_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agents.host.protocol import Host
    from nodeup.session import Options, Session
    from nodeup.support import Part


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    plan_options(parser)
    parser.add_argument("--redact", action="store_true", help="take secrets out; this is always done")
    parser.add_argument("--out", type=Path, default=None, metavar="FILE", help="where to write (default: nodeup-support-….tar.gz)")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Gather, redact, pack, and write the archive readable by its owner alone."""
    from agents.clock import SystemClock
    from nodeup.machine_conf import unit_environment
    from nodeup.session import open_host
    from nodeup.support import known_secrets, packed, parts
    from nodeup.this_machine import hostname

    options = replace(options_of(arguments), ask_network=False)
    if options.root is None and os.geteuid() != 0:
        raise AccessError("nodeup support reads journals and keys (to take these out), and needs root")
    host, now = open_host(options), SystemClock().now()
    options = replace(options, environment=unit_environment(host, options.environment))
    session = _session(options)
    secrets = set(known_secrets(host)) | (_of_spec(session) if not isinstance(session, str) else set())
    given = [*parts(host), *_own_words(host, options, session)]
    name = f"nodeup-support-{hostname(host)}-{now:%Y%m%dT%H%M%SZ}"
    path = arguments.out or Path(f"{name}.tar.gz")
    content = packed(given, secrets, name=name, now=now)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AccessError(f"--out {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    text = f"{path}: {len(given)} files, {len(content) >> 10} KiB, without what is known, or looks, to be a secret; read it first"
    emit(common(arguments), "NodeSupport", {"path": str(path), "files": sorted(part.name for part in given)}, text)
    return ExitCode.OK


def _session(options: Options) -> Session | str:
    """Return the session, or why there is none: a bundle is needed most where that fails."""
    from agents.errors import AgentError
    from nodeup.session import open_session

    try:
        return open_session(options)
    except AgentError as error:
        return f"{type(error).__name__}: {error}"


def _of_spec(session: Session) -> set[bytes]:
    keys = [item.key for keyset in session.spec.keysets.values() for item in keyset.items if item.key is not None]
    return {secret.reveal() for secret in (*keys, *session.spec.secrets.values())}


def _own_words(host: Host, options: Options, session: Session | str) -> Iterator[Part]:
    """Yield what nodeup's own verbs say, as JSON and for people."""
    from agents.clock import SystemClock
    from agents.diagnosis import diagnose
    from agents.documents import dump_json
    from agents.project_version import project_version
    from nodeup.doctor.examine import examine
    from nodeup.doctor.rules import RULES
    from nodeup.doctor.view import Area
    from nodeup.last_status import latest_view
    from nodeup.status_view import status_lines
    from nodeup.support import Part, attempted

    diagnosis = diagnose(RULES, examine(host, SystemClock(), options.conf, options.environment, set(Area)))
    yield Part(name="doctor.txt", content="\n".join((*diagnosis.lines, "")).encode())
    yield Part(name="doctor.json", content=dump_json(diagnosis.document).encode())
    yield Part(name="status.txt", content=attempted(lambda: "\n".join((*status_lines(latest_view(host, SystemClock())), "")).encode()))
    yield Part(
        name="versions/nodeup.txt", content=f"node-agents {project_version() or 'of an unknown version'}\npython {sys.version}\n".encode()
    )
    if isinstance(session, str):
        yield Part(name="plan.txt", content=f"not available: {session}\n".encode())
        return
    plan = session
    yield Part(name="plan.txt", content=attempted(lambda: _plan_text(plan)))


def _plan_text(session: Session) -> bytes:
    from nodeup.engine.converge import observe
    from nodeup.engine.report import plan_lines, plan_report

    outcomes = observe(session.graph, session.host, session.context)
    report = plan_report(session.graph.steps, outcomes, unit_directory=session.facts.distribution.unit_directory)
    return "\n".join((*plan_lines(report, with_diffs=False), "")).encode()
