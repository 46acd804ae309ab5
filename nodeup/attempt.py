"""One attempt to make the machine so: plan, converge with a history, and settle what is ours; and the start of a run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from agents.clock import Clock, SystemClock
from agents.errors import AgentError
from agents.host.protocol import Host
from nodeup.assets.prune import names_in_use, prune_cache
from nodeup.engine.converge import Result, Status, converge
from nodeup.engine.graph import Graph
from nodeup.engine.history import KEPT_RUNS, Run, last_run_id, prune, read_runs, run_id
from nodeup.engine.owned import after_complete_run, read_manifest, write_manifest
from nodeup.engine.recorder import Recorder
from nodeup.loop import StoppableClock, Stopped
from nodeup.progress import Progress
from nodeup.resources.kinds import AnyResource
from nodeup.resources.protocol import RunContext
from nodeup.session import Options, Session, open_session

log = logging.getLogger(__name__)

#: While no run ends well, more is kept: the last good state is before all of them.
KEPT_UNFINISHED_RUNS = 4 * KEPT_RUNS


def new_recorder(host: Host, clock: Clock, verb: str) -> Recorder:
    """Return the recorder of a run that begins now."""
    began = clock.now()
    settled = read_manifest(host).settled
    return Recorder(host, Run(id=run_id(began, after=max(settled, last_run_id(host))), began=began, verb=verb))


def attempt(
    options: Options,
    progress: Progress,
    stopping: threading.Event,
    recorder: Recorder,
    choose: Callable[[Session], Graph] | None = None,
    missing: list[str] | None = None,
) -> Result:
    """Plan and converge once; Stopped when nodeup was told to stop and something is missing, which `missing` is told in any case.

    `choose` cuts the graph (`apply --only`); what was left out then stays as it is, also what nobody wants any more.
    """
    progress.phase("load")
    clock = StoppableClock(SystemClock(), stopping)
    session = open_session(options, clock=clock, on_wait=progress.waiting_for_controller, on_step_wait=progress.waiting_in_a_step)
    graph = session.graph if choose is None else choose(session)
    recorder.run = replace(recorder.run, config_hash=session.spec.boot.config_hash, node=session.spec.boot.instance_group)
    progress.phase("apply", f"{len(graph.steps)} steps for {session.spec.boot.instance_group} of {session.spec.cluster_name}")
    for path in session.foreign:
        log.warning("%s is not wanted any more and stays: it is not as nodeup wrote it", path)
    try:
        result = converge(
            graph,
            session.host,
            session.context,
            on_event=progress.event,
            is_stopping=stopping.is_set,
            before_change=recorder.before,
        )
    finally:
        session.context.digests.save()
    if result.is_complete and choose is None:
        session.context.journal.forget_others(step.id for step in session.graph.steps)
        _prune_cache(session)
    settle(recorder, graph, session.planned, session.host, session.context, complete=result.is_complete and choose is None)
    if missing is not None:
        missing[:] = [outcome.id for outcome in result.outcomes if outcome.status in {Status.FAILED, Status.SKIPPED}]
    if stopping.is_set() and not result.is_complete:
        raise Stopped("nodeup was told to stop; the next run completes what is missing")
    return result


def _prune_cache(session: Session) -> None:
    cache = session.context.assets
    try:
        prune_cache(session.host, cache.directory, names_in_use(session.graph.steps, cache.source_names(), cache.kept_names()))
    except AgentError as error:
        log.warning("the cache could not be tidied up: %s", error)


def settle(recorder: Recorder, graph: Graph, planned: Sequence[AnyResource], host: Host, context: RunContext, *, complete: bool) -> None:
    """Write down what is ours after an attempt, and forget what is too old; an error in it is only told: the node is as it should be."""
    try:
        recorder.end(complete=complete)
        manifest = read_manifest(host)
        if complete:
            manifest = after_complete_run(manifest, graph.steps, planned, host, context)
        elif manifest.settled == recorder.run.id:
            # This run may go on: what it changes from here on must be read again.
            earlier = [run.id for run in read_runs(host) if run.id < recorder.run.id]
            manifest = replace(manifest, settled=earlier[-1] if earlier else "")
        write_manifest(host, manifest)
        prune(host, manifest.kept_digests, most_runs=KEPT_RUNS if complete else KEPT_UNFINISHED_RUNS)
    except AgentError as error:
        log.warning("what is ours on this machine could not be written down: %s", error)
