"""Retrying as a value: a schedule of pauses, full jitter, under a deadline. It never sleeps and never catches.

    for pause in backoff(first=timedelta(seconds=1), cap=timedelta(seconds=30), random=rng.random):
        try: return attempt()
        except TransientError: clock.sleep(pause)

The loop that uses a schedule owns the deadline; a schedule is infinite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta


def backoff(*, first: timedelta, cap: timedelta, random: Callable[[], float], factor: float = 2.0) -> Iterator[timedelta]:
    """Yield pauses: the n-th is uniform in [0, min(cap, first * factor**n)), so that a fleet does not beat in time.

    `random` returns a float in [0, 1); handing it in keeps this module pure.

    Source: "full jitter" of the AWS architecture blog; kops' own 10 % jitter lets 5,000 nodes beat together.
    """
    ceiling = first
    while True:
        yield ceiling * random()
        ceiling = min(cap, ceiling * factor)
