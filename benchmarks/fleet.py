"""How a fleet of workers joins through one kops-controller that limits itself.

    python benchmarks/fleet.py                      5,000 workers in virtual time, with the schedule that workers really follow
    python benchmarks/fleet.py --sockets 300        also that many real conversations over TLS on loopback, in real time

The server admits so many requests per second, with as many at once, and answers 429 with Retry-After to the rest. Every worker makes
two requests that must be admitted: for its configuration, and, some seconds later, for its certificates.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout, without being installed

from nodeup.bootstrap.refusal import Reason, Refusal
from nodeup.bootstrap.schedule import Failures, pause_after

#: The issue's figure.
JOINED_WITHIN = timedelta(minutes=5)

#: What a worker does between its two requests: facts, plan, files, two RSA keys.
WORK_SECONDS = (1.0, 4.0)

Pause = Callable[[Refusal, Failures, Callable[[], float]], timedelta]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A fleet and its server."""

    name: str
    workers: int = 5000
    per_second: float = 200.0
    retry_after_seconds: float = 1.0
    #: From when on anybody listens.
    up_after_seconds: float = 0.0
    #: Over what time the machines come up.
    boot_seconds: float = 1.0
    #: The issue's figure; where everybody has waited for long already it is ours.
    most_requests: int = 3


@dataclass(slots=True)
class Worker:
    """One machine's history."""

    begin: float
    needed: int = 2
    failures: Failures = field(default_factory=Failures)
    #: Requests that reached the server.
    attempts: int = 0
    joined: float = 0.0


@dataclass(slots=True)
class Server:
    """A token bucket."""

    scenario: Scenario
    tokens: float = 0.0
    seen: float = 0.0

    def refusal(self, now: float) -> Refusal | None:
        """Return why a request at this moment is turned away; None where it is served."""
        if now < self.scenario.up_after_seconds:
            return Refusal(reason=Reason.UNREACHABLE, message="")
        limit = self.scenario.per_second
        self.tokens = min(limit, self.tokens + (now - self.seen) * limit)
        self.seen = now
        if self.tokens >= 1:
            self.tokens -= 1
            return None
        return Refusal(reason=Reason.THROTTLED, message="", retry_after=timedelta(seconds=self.scenario.retry_after_seconds))


def simulate(scenario: Scenario, pause: Pause, seed: int) -> list[Worker]:
    """Return the workers' histories; virtual time only."""
    chance = random.Random(seed)  # noqa: S311 - it is no secret
    server = Server(scenario, tokens=scenario.per_second, seen=scenario.up_after_seconds)
    workers = [Worker(begin=chance.uniform(0, scenario.boot_seconds)) for _ in range(scenario.workers)]
    events = [(worker.begin, number) for number, worker in enumerate(workers)]
    heapq.heapify(events)
    while events:
        now, number = heapq.heappop(events)
        worker = workers[number]
        refusal = server.refusal(now)
        worker.attempts += refusal is None or refusal.reason is not Reason.UNREACHABLE
        if refusal is not None:
            worker.failures = worker.failures.after(refusal)
            heapq.heappush(events, (now + pause(refusal, worker.failures, chance.random).total_seconds(), number))
            continue
        worker.needed -= 1
        worker.failures = Failures()
        if worker.needed:
            heapq.heappush(events, (now + chance.uniform(*WORK_SECONDS), number))
        else:
            worker.joined = now
    return workers


def kops_pause(_refusal: Refusal, failures: Failures, chance: Callable[[], float]) -> timedelta:
    """Return what kops' own schedule has: one second, doubled, at most 15, with a tenth of jitter; Retry-After is not looked at."""
    return timedelta(seconds=min(15.0, 2.0 ** min(failures.total - 1, 10)) * (1 + 0.1 * chance()))


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that `share` of all are not above."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def row(name: str, workers: list[Worker], scenario: Scenario, boots: int) -> tuple[str, bool]:
    """Return a line of the table, and whether the figures hold."""
    joined = [worker.joined - max(worker.begin, scenario.up_after_seconds) for worker in workers]
    attempts = [float(worker.attempts) for worker in workers]
    holds = max(joined) <= JOINED_WITHIN.total_seconds() and percentile(attempts, 0.99) <= scenario.most_requests
    times = " ".join(f"{percentile(joined, share):7.1f}" for share in (0.5, 0.99, 1.0))
    counts = " ".join(f"{percentile(attempts, share):4.0f}" for share in (0.5, 0.99, 1.0))
    return f"{name:46} {times}   {counts}   {sum(attempts) / boots:7.0f}", holds


SCENARIOS = (
    Scenario(name="5,000 boot within a second"),
    Scenario(name="5,000 boot at the same instant", boot_seconds=0.0),
    Scenario(name="the same, Retry-After: 30", retry_after_seconds=30.0),
    Scenario(name="5,000 wait for a control plane, 4 min", up_after_seconds=240.0, boot_seconds=60.0, most_requests=4),
    Scenario(name="500 boot within a second", workers=500),
    Scenario(name="100 boot within a second", workers=100),
)


def virtual(seeds: int) -> Iterator[bool]:
    """Print the table; yield for each line whether the figures hold."""
    print(f"{'':46} {'joined after, s':^23}   {'requests each':^14}   requests")
    print(f"{'200 requests/s, two per worker':46} {'p50':>7} {'p99':>7} {'max':>7}   {'p50':>4} {'p99':>4} {'max':>4}   {'in all':>7}")
    for scenario in SCENARIOS:
        workers = [worker for seed in range(seeds) for worker in simulate(scenario, pause_after, seed)]
        line, holds = row(scenario.name, workers, scenario, seeds)
        print(line + ("" if holds else "   <- misses the issue's figures"))
        yield holds
    line, _ = row("(kops' schedule: 5,000 within a second)", simulate(SCENARIOS[0], kops_pause, 0), SCENARIOS[0], 1)
    print(line)


def main() -> int:
    """Run the benchmark; 1 where a figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how often each fleet boots (default 3)")
    parser.add_argument("--sockets", type=int, default=0, metavar="N", help="also N real conversations")
    arguments = parser.parse_args()
    holds = all(list(virtual(arguments.seeds)))
    if arguments.sockets:
        from benchmarks.fleet_sockets import converse_for_real

        holds = converse_for_real(arguments.sockets) and holds
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
