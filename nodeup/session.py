"""What all verbs share: from options to a specification, facts, a plan, a graph, and the context to read and apply it with."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agents.clock import Clock, SystemClock
from agents.errors import NotFoundError
from agents.host.local import LocalHost
from agents.host.protocol import Host
from agents.host.rooted import RootedHost
from agents.status import Waiting
from nodeup.asking import asked_facts, facts_of_file, lifecycle_completer, prefix_finder, remembered_facts
from nodeup.assets.cache import CACHE_DIRECTORY, AssetCache
from nodeup.assets.programs import program_check
from nodeup.assets.transport import Transport
from nodeup.bootstrap.conversation import Means
from nodeup.bootstrap.refusal import Refusal
from nodeup.bootstrap.tokens import Machine, authenticator_of
from nodeup.bootstrap.worker import Worker
from nodeup.bundle.seeded import Seeded, open_seeded
from nodeup.engine.context import EngineContext
from nodeup.engine.graph import Graph, build_graph
from nodeup.engine.in_place import find_in_place
from nodeup.engine.journal import Digests, Journal
from nodeup.engine.owned import obsolete, read_manifest, split_foreign
from nodeup.engine.superseded import superseded_pods
from nodeup.facts import Facts
from nodeup.facts_file import GivenFacts
from nodeup.load import CORRECT_SPECIFICATION, OpenBlobs, hinted, load_boot_config, load_node_spec
from nodeup.observe import observe
from nodeup.planners import context_of, plan
from nodeup.planners.context import Profile
from nodeup.rendering import renderable
from nodeup.resources.asset import Asset
from nodeup.resources.former import FormerFile, FormerUnit
from nodeup.resources.kinds import AnyResource
from nodeup.spec.boot import BootConfig
from nodeup.spec.node import NodeSpec
from nodeup.this_machine import hostname

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from nodeup.bootstrap.challenge import ChallengeServer

#: Told of a pause of the bootstrap: why, and until when.
OnWait = Callable[[Refusal, datetime], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a verb was told."""

    conf: str
    environment: Mapping[str, str]
    cache: str = CACHE_DIRECTORY
    profile: Profile = Profile.NATIVE
    #: Act on this directory in place of the machine: without commands, so without packages, users and running units.
    root: Path | None = None
    #: Install binaries from assets below `root` as well.
    with_assets: bool = False
    #: A file with the facts that are otherwise asked of the network.
    facts: Path | None = None
    #: Whether the metadata service and the resolver may be asked, and the answers be remembered.
    ask_network: bool = False
    #: Whether what is ours and not wanted any more is part of the plan.
    removes: bool = True
    #: Whether digests from earlier runs are believed while a file's inode, size and times stay.
    trust_digests: bool = True
    #: Work from what `bundle apply` brought to the machine, in place of `conf`, the state stores and all downloads.
    bundle: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A node as it should be, and the means to look at it."""

    host: Host
    clock: Clock
    spec: NodeSpec
    facts: Facts
    graph: Graph
    context: EngineContext
    #: What of the plan cannot be made below a directory; empty on a machine.
    left_out: tuple[str, ...]
    #: The whole plan, with what was left out.
    planned: tuple[AnyResource, ...] = ()
    #: Files that we wrote, nobody wants any more, and somebody changed: they stay.
    foreign: tuple[str, ...] = ()


def open_host(options: Options) -> Host:
    """Return the machine, or the directory that stands for it."""
    return LocalHost() if options.root is None else RootedHost(options.root)


def open_session(
    options: Options,
    *,
    clock: Clock | None = None,
    transport: Transport | None = None,
    on_wait: OnWait | None = None,
    on_step_wait: Callable[[str, Waiting | None], None] | None = None,
) -> Session:
    """Fetch, decode, observe and plan; nothing is changed, but that what the network says is remembered where it may be asked.

    `on_wait` is told what of kops-controller is waited for, and until when; `on_step_wait` what a step waits for on this machine.
    """
    host = open_host(options)
    clock = SystemClock() if clock is None else clock
    seeded = open_seeded(host, options.cache) if options.bundle else None
    boot = load_boot_config(options.conf if seeded is None else seeded.conf, options.environment)
    if seeded is not None:
        # Only a node that kops-controller tells its configuration asks anybody, and it alone.
        options = replace(options, ask_network=options.ask_network and boot.config_server is not None)
        transport = Transport(options.environment, offline=True)
    worker = open_worker(host, boot, options, clock, on_wait)
    spec = load_node_spec(boot, options.environment, from_controller=worker.node_config, open_blobs=_open_blobs(seeded, options))
    if spec.unknown_fields:
        log.warning(
            "fields that this version does not know, and does not act on: %s (misspelt, or of a newer kops?)",
            ", ".join(spec.unknown_fields),
        )
    given = _given_facts(options, host, spec)
    facts = observe(observed_host(host), given.network, options.environment, given=given.machine)
    with hinted(CORRECT_SPECIFICATION):
        plan_context = context_of(spec, facts, options.profile)
        planned = plan(spec, facts, options.profile)
    planned = (*planned, *(seeded.images() if seeded is not None else ()))
    resources, left_out = _for_host(planned, options, facts)
    assets = tuple(Asset(key=source.key, url=source.urls[0]) for source in plan_context.catalog.sources)
    digests = Digests(host, trusting=options.trust_digests)
    context = EngineContext(
        distribution=facts.distribution,
        clock=clock,
        assets=AssetCache(
            host,
            options.cache,
            plan_context.catalog.sources,
            digest=digests.digest,
            transport=transport,
            image_archives={} if seeded is None else seeded.image_archives(),
        ),
        digests=digests,
        journal=Journal(host),
        keysets=spec.keysets,
        check_program=program_check(host, facts.architecture),
        # Once a run was complete, what is not kept is wanted anew (`nodeup certs`).
        find_in_place=None if read_manifest(host).settled else find_in_place(host, planned),
        addresses=tuple(address for interface in facts.interfaces for address in interface.addresses),
        obtain=worker.obtain,
        on_wait=on_step_wait,
        prefix=prefix_finder(facts.cloud, host, options.environment) if options.ask_network else None,
        completes=lifecycle_completer(facts.cloud, options.environment) if options.ask_network else None,
    )
    former, foreign = _former_things(planned, options, host, context) if options.removes else ((), ())
    if options.removes and options.profile is Profile.NATIVE:
        pods = superseded_pods(host, planned, lambda: plan(spec, facts, Profile.KOPS))
        former = (*former, *(pod for pod in pods if pod.id not in {step.id for step in former}))
    return Session(
        host=host,
        clock=clock,
        spec=spec,
        facts=facts,
        graph=build_graph(resources, assets, former),
        context=context,
        left_out=left_out,
        planned=planned,
        foreign=foreign,
    )


def _open_blobs(seeded: Seeded | None, options: Options) -> OpenBlobs | None:
    """Return what answers for the state stores; None for these themselves."""
    return None if seeded is None else seeded.state(options.environment).open


def open_worker(host: Host, boot: BootConfig, options: Options, clock: Clock, on_wait: OnWait | None) -> Worker:
    """Return the node's side of the bootstrap; it only asks where `options` allow it, and nothing yet."""
    if not options.ask_network:
        return Worker(host=host, boot=boot, now=clock.now, means=None)
    from agents.clouds.select import metadata_of

    machine = Machine(
        host=host,
        metadata=metadata_of(boot.cloud.value, options.environment, host),
        now=clock.now,
        hostname=hostname(host),
        environment=options.environment,
    )
    means = Means(
        authenticator=authenticator_of(boot.cloud, machine),
        open_challenges=lambda: _open_challenges(boot, clock),
        clock=clock,
        random=random.random,
        on_wait=(lambda _refusal, _until: None) if on_wait is None else on_wait,
    )
    return Worker(host=host, boot=boot, now=clock.now, means=means)


def _open_challenges(boot: BootConfig, clock: Clock) -> AbstractContextManager[ChallengeServer] | None:
    if not boot.cloud.has_callback or boot.config_server is None:
        return None
    from nodeup.bootstrap.challenge import challenge_server

    return challenge_server(boot.cluster_name, boot.config_server.ca_certificates.encode(), now=clock.now)


def _given_facts(options: Options, host: Host, spec: NodeSpec) -> GivenFacts:
    if options.facts is not None:
        return facts_of_file(options.facts, spec)
    if options.ask_network:
        return asked_facts(host, spec, options.environment)
    return remembered_facts(host, spec)


def observed_host(host: Host) -> Host:
    """Return where to look for facts: a directory without an os-release is a target to render to, not an image of a machine."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            host.read(path)
        except NotFoundError:
            continue
        return host
    return LocalHost()


def _former_things(
    planned: tuple[AnyResource, ...], options: Options, host: Host, context: EngineContext
) -> tuple[tuple[FormerFile | FormerUnit, ...], tuple[str, ...]]:
    """Return what is ours and not planned any more, and the paths of what of it is not ours any more."""
    manifest = read_manifest(host)
    gone = obsolete(manifest, planned, context.distribution.unit_directory)
    former, foreign = split_foreign(gone, host, context)
    if options.root is not None:
        former = tuple(replace(step, on_change=()) if isinstance(step, FormerFile) else step for step in former)
    return former, foreign


def _for_host(resources: tuple[AnyResource, ...], options: Options, facts: Facts) -> tuple[tuple[AnyResource, ...], tuple[str, ...]]:
    if options.root is None:
        return resources, ()
    part = renderable(resources, unit_directory=facts.distribution.unit_directory, with_assets=options.with_assets)
    return part.resources, part.left_out
