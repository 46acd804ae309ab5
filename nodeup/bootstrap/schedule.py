"""When to ask again, as a pure function of what went wrong so far; the simulator of fleets uses the same one.

Every pause is uniform between nothing and a ceiling (full jitter), after the pause that the server asked for. The ceilings
say what is being waited for: a control plane that starts is asked often, because nobody else is served meanwhile; a
server that has too much to do is left alone for as long as it takes for thousands to spread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from nodeup.bootstrap.refusal import Reason, Refusal

#: kops' overall patience; then the outer loop begins anew, and says so.
PATIENCE = timedelta(minutes=45)

#: A server that asks for more is not believed: an hour of Retry-After would outlast all patience.
LONGEST_RETRY_AFTER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ceilings:
    first: timedelta
    cap: timedelta

    def at(self, failures: int) -> timedelta:
        # 2 ** 20 seconds are beyond every cap.
        return min(self.cap, self.first * (1 << min(failures, 20)))


#: Nobody is there: with 5,000 nodes waiting, a cap of 30 s is 333 requests per second when the control plane comes up,
#: of which a server that limits itself to 200 turns away some, once.
_ABSENT = _Ceilings(first=timedelta(seconds=1), cap=timedelta(seconds=30))
#: A minute spreads 5,000 nodes with two requests each to 167 requests per second (benchmarks/fleet.py).
_BUSY = _Ceilings(first=timedelta(seconds=60), cap=timedelta(seconds=120))
#: Somebody has to do something, or a cloud's API has to catch up.
_UNWILLING = _Ceilings(first=timedelta(seconds=5), cap=timedelta(seconds=60))

_CEILINGS = {
    Reason.NAME: _ABSENT,
    Reason.UNREACHABLE: _ABSENT,
    Reason.IDENTITY: _ABSENT,
    Reason.THROTTLED: _BUSY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """What went wrong so far in one conversation: how often, and how often it was of the kind of the last."""

    total: int = 0
    last: Reason | None = None
    in_a_row: int = 0

    def after(self, refusal: Refusal) -> Failures:
        """Return the same with one more."""
        repeated = self.in_a_row + 1 if refusal.reason is self.last else 1
        return replace(self, total=self.total + 1, last=refusal.reason, in_a_row=repeated)


def pause_after(refusal: Refusal, failures: Failures, random: Callable[[], float]) -> timedelta:
    """Return how long to wait after `refusal`, the last of `failures`; `random` gives a float in [0, 1)."""
    floor = min(refusal.retry_after or timedelta(), LONGEST_RETRY_AFTER)
    ceiling = _CEILINGS.get(refusal.reason, _UNWILLING).at(max(failures.in_a_row, 1) - 1)
    return floor + ceiling * random()
