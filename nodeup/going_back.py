"""Going back before a run on this machine: looking at its units, and converging to what the history kept."""

from __future__ import annotations

import json
import logging

from agents.clock import Clock
from agents.errors import AgentError, NotFoundError
from agents.host.distribution import parse_os_release
from agents.host.protocol import Host
from nodeup.assets.cache import CACHE_DIRECTORY, AssetCache
from nodeup.engine.context import EngineContext
from nodeup.engine.converge import Result, converge
from nodeup.engine.graph import Graph
from nodeup.engine.history import KEPT_RUNS, Run, prune
from nodeup.engine.journal import Digests, Journal
from nodeup.engine.owned import read_manifest, write_manifest
from nodeup.engine.recorder import Recorder
from nodeup.engine.rollback import UnitsNow, rollback_graph
from nodeup.resources.former import Version, kept_file
from nodeup.resources.systemctl import show
from nodeup.resources.unit import STAMPS
from nodeup.session import observed_host

log = logging.getLogger(__name__)


def context_without_plan(host: Host, clock: Clock) -> EngineContext:
    """Return a context for steps that need no specification: no assets, no keys."""
    seen = observed_host(host)
    try:
        release = seen.read("/etc/os-release")
    except NotFoundError:
        release = seen.read("/usr/lib/os-release")
    digests = Digests(host)
    return EngineContext(
        distribution=parse_os_release(release.decode(errors="replace")),
        clock=clock,
        assets=AssetCache(host, CACHE_DIRECTORY, (), digest=digests.digest),
        digests=digests,
        journal=Journal(host),
        keysets={},
    )


def graph_back(host: Host, runs: tuple[Run, ...], target: Run, *, on_machine: bool = True) -> Graph:
    """Return the steps back to before a run; NotFoundError or VerificationError where what was kept is gone or damaged.

    A directory (not `on_machine`) has files only.
    """

    def text_of(version: Version) -> str:
        return host.read(kept_file(host, version)).decode(errors="replace")

    return rollback_graph(runs, target, units=units_now(host) if on_machine else None, text_of=text_of)


def go_back(graph: Graph, host: Host, context: EngineContext, recorder: Recorder) -> Result:
    """Converge to how things were. It is a run like others: it can be taken back, too."""
    try:
        result = converge(graph, host, context, before_change=recorder.before)
    finally:
        context.digests.save()
    recorder.end(complete=result.is_complete)
    try:
        manifest = read_manifest(host)
        write_manifest(host, manifest)
        prune(host, manifest.kept_digests, most_runs=KEPT_RUNS)
    except AgentError as error:
        log.warning("what is ours on this machine could not be written down: %s", error)
    return result


def units_now(host: Host) -> UnitsNow:
    """Return what the stamps and systemd say; without systemd, that nothing runs."""
    inputs: dict[str, tuple[str, ...]] = {}
    try:
        names = host.list(STAMPS)
    except NotFoundError:
        names = ()
    for name in names:
        try:
            document = json.loads(host.read(f"{STAMPS}/{name}"))
            inputs[str(document["unit"])] = tuple(sorted(path for path in document["inputs"] if path != "definition"))
        except (NotFoundError, ValueError, KeyError, TypeError):
            continue
    running = {name for name in inputs if (show(host, name) or {}).get("ActiveState") in {"active", "reloading", "activating"}}
    return UnitsNow(inputs=inputs, running=frozenset(running))
