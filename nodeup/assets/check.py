"""Asking every mirror of every asset, all at once, whether it would deliver; nothing is downloaded."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta

from agents.errors import AgentError, DeadlineError
from nodeup.assets.registry import Registry, parse_reference, registry_bases
from nodeup.assets.transport import Found, Transport

#: A worker of AWS has about ten assets with three mirrors each.
ASKERS = 16
#: Of the whole check; who has not answered by then is as good as away.
DEADLINE = timedelta(seconds=40)


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorAnswer:
    """What came of asking one mirror."""

    url: str
    #: Why it would not deliver; None where it would.
    error: AgentError | None = None
    #: None where the mirror does not say it, or was not reached.
    size_bytes: int | None = None
    accepts_ranges: bool = False
    latency: timedelta = timedelta()


def check_mirrors(urls: Sequence[str], transport: Transport, *, deadline: timedelta = DEADLINE) -> tuple[MirrorAnswer, ...]:
    """Ask all mirrors for the first byte of a file, at the same time; the answers are in the order of `urls`."""
    return _all_at_once(urls, lambda url: _probed(url, transport), deadline)


def check_images(
    references: Sequence[str], mirrors: Sequence[tuple[str, str]], *, deadline: timedelta = DEADLINE
) -> tuple[MirrorAnswer, ...]:
    """Ask for the manifest of each image, without credentials: its registry's mirrors, then the registry, until one has it."""
    return _all_at_once(references, lambda reference: _image(reference, mirrors), deadline)


def _probed(url: str, transport: Transport) -> MirrorAnswer:
    began = time.monotonic()
    try:
        found = transport.probe(url)
    except AgentError as error:
        return MirrorAnswer(url=url, error=error, latency=_since(began))
    return _good(url, found, began)


def _image(reference: str, mirrors: Sequence[tuple[str, str]]) -> MirrorAnswer:
    began = time.monotonic()
    try:
        parsed = parse_reference(reference)
    except AgentError as error:
        return MirrorAnswer(url=reference, error=error)
    answer = MirrorAnswer(url=reference)
    for base in registry_bases(parsed, mirrors):
        where = f"{base}/v2/{parsed.repository}/manifests/{parsed.name}"
        try:
            Registry(base, parsed).check()
        except AgentError as error:
            answer = MirrorAnswer(url=where, error=error, latency=_since(began))
        else:
            return MirrorAnswer(url=where, latency=_since(began))
    return answer


def _all_at_once(asked: Sequence[str], ask: Callable[[str], MirrorAnswer], deadline: timedelta) -> tuple[MirrorAnswer, ...]:
    pool = ThreadPoolExecutor(max_workers=ASKERS, thread_name_prefix="check")
    futures = [pool.submit(ask, url) for url in asked]
    wait(futures, timeout=deadline.total_seconds())
    # Who is still asked is left to the time-outs of its socket.
    pool.shutdown(wait=False, cancel_futures=True)
    late = DeadlineError(f"no answer within {deadline.total_seconds():g} s")
    return tuple(
        future.result() if future.done() and not future.cancelled() else MirrorAnswer(url=url, error=late, latency=deadline)
        for url, future in zip(asked, futures, strict=True)
    )


def _good(url: str, found: Found, began: float) -> MirrorAnswer:
    return MirrorAnswer(url=url, size_bytes=found.size_bytes, accepts_ranges=found.accepts_ranges, latency=_since(began))


def _since(began: float) -> timedelta:
    return timedelta(seconds=time.monotonic() - began)
