from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from agents.errors import AgentError, RefusedError, SpecError, TransientError
from agents.status import read_status, status_path
from nodeup.engine.converge import Outcome, Result, Status
from nodeup.loop import FIRST_PAUSE, LONGEST_PAUSE, Stopped, attempts
from nodeup.progress import Progress
from tests.fakes.clock import FakeClock
from tests.fakes.host import FakeHost

GOOD = Result(outcomes=(Outcome(id="file:/a", status=Status.CHANGED),), duration=timedelta(seconds=1))


class World:
    """A loop with attempts that end as the test says, one after another."""

    def __init__(self, *ends: Result | AgentError) -> None:
        self.ends = list(ends)
        self.clock = FakeClock()
        self.host = FakeHost()
        self.progress = Progress(self.host, self.clock)
        self.stop = False

    def attempt(self) -> Result:
        end = self.ends.pop(0)
        if isinstance(end, AgentError):
            raise end
        return end

    def run(self, retries: int = -1, random: Callable[[], float] = lambda: 1.0) -> Result:
        def pause(duration: timedelta) -> bool:
            self.clock.sleep(duration)
            return self.stop

        return attempts(self.attempt, retries=retries, progress=self.progress, clock=self.clock, random=random, pause=pause)


def failed(*errors: AgentError) -> Result:
    outcomes = tuple(Outcome(id=f"file:/{number}", status=Status.FAILED, error=error) for number, error in enumerate(errors))
    return Result(outcomes=outcomes, duration=timedelta(seconds=1))


def test_it_tries_until_it_works() -> None:
    world = World(TransientError("no network"), failed(TransientError("no mirror")), GOOD)

    assert world.run() is GOOD

    status = read_status(world.host, status_path("nodeup"))
    assert (status.state, status.details["attempt"]) == ("done", 3)


def test_pauses_grow_to_a_limit_and_have_full_jitter() -> None:
    world = World(*[TransientError("x")] * 6, GOOD)
    world.run()
    assert world.clock.slept[0] == FIRST_PAUSE
    assert world.clock.slept[-1] == LONGEST_PAUSE

    world = World(*[TransientError("x")] * 6, GOOD)
    world.run(random=lambda: 0.0)
    assert set(world.clock.slept) == {timedelta()}


@pytest.mark.parametrize("error", [SpecError("wrong"), RefusedError("unsafe")])
@pytest.mark.parametrize("in_a_step", [False, True])
def test_what_only_a_person_can_change_is_not_retried(error: AgentError, in_a_step: bool) -> None:
    world = World(failed(error) if in_a_step else error, GOOD)

    with pytest.raises(type(error)):
        world.run()

    assert world.clock.slept == []
    assert read_status(world.host, status_path("nodeup")).state == "failed"


def test_a_step_that_may_pass_is_retried_beside_one_that_will_not() -> None:
    world = World(failed(SpecError("wrong"), TransientError("no mirror")), GOOD)

    assert world.run() is GOOD


@pytest.mark.parametrize(("retries", "attempts_made"), [(0, 1), (2, 3)])
def test_retries_are_counted(retries: int, attempts_made: int) -> None:
    world = World(*[TransientError("x")] * 5)

    with pytest.raises(TransientError):
        world.run(retries=retries)

    assert 5 - len(world.ends) == attempts_made


def test_it_stops_between_attempts_when_told_so() -> None:
    world = World(TransientError("x"), GOOD)
    world.stop = True

    with pytest.raises(Stopped):
        world.run()

    assert world.ends == [GOOD]


def test_the_status_says_what_is_waited_for_and_why() -> None:
    world = World(TransientError("no mirror", hint="curl it"), GOOD)
    seen = []

    def look() -> float:
        return 1.0

    def pause(duration: timedelta) -> bool:
        seen.append(read_status(world.host, status_path("nodeup")))
        world.clock.sleep(duration)
        return False

    attempts(world.attempt, retries=-1, progress=world.progress, clock=world.clock, random=look, pause=pause)

    (status,) = seen
    assert status.state == "waiting"
    assert (status.waiting[0].last_error, status.waiting[0].hint) == ("no mirror", "curl it")
    assert status.waiting[0].until == status.waiting[0].since + FIRST_PAUSE
