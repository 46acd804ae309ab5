"""Who leads: the lock in the store, with time under the test's control."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agents.errors import TransientError
from agents.stores.memory import MemoryStore
from etcdmanager.leadership.claim import RELUCTANCE, SAFETY_MARGIN, TTL, Me
from etcdmanager.leadership.lock import LOCK_KEY, LeaderLock, decode, encode


class Time:
    """A machine's two clocks; `skew` is how wrong its wall clock is."""

    def __init__(self, skew: timedelta = timedelta()) -> None:
        self.elapsed = 1000.0
        self.skew = skew

    def pass_(self, duration: timedelta) -> None:
        self.elapsed += duration.total_seconds()

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.elapsed) + self.skew


def lock(store: MemoryStore, time: Time, name: str, instance: str = "1") -> LeaderLock:
    return LeaderLock(store, Me(id=name, instance=instance), now=time.now, elapsed=lambda: time.elapsed)


def test_of_two_managers_one_leads_under_the_first_epoch() -> None:
    store, time = MemoryStore(), Time()
    a, b = lock(store, time, "a"), lock(store, time, "b")
    lease = a.step()
    assert lease is not None
    assert lease.epoch == 1
    assert b.step() is None


def test_a_renewed_lock_is_never_taken() -> None:
    store, time = MemoryStore(), Time()
    a, b = lock(store, time, "a"), lock(store, time, "b")
    for _ in range(20):
        assert a.step() is not None
        assert b.step() is None
        time.pass_(timedelta(seconds=5))


def test_a_lock_that_is_no_longer_renewed_is_taken_with_a_higher_epoch() -> None:
    store, time = MemoryStore(), Time()
    a, b = lock(store, time, "a"), lock(store, time, "b")
    a.step()
    assert b.step() is None
    time.pass_(TTL + timedelta(seconds=1))
    lease = b.step()
    assert lease is not None
    assert lease.epoch == 2
    assert a.lease is None


def test_a_manager_that_just_started_watches_a_lock_for_its_whole_lifetime_before_it_takes_it() -> None:
    store, time = MemoryStore(), Time()
    lock(store, time, "a").step()
    time.pass_(timedelta(seconds=14))
    b = lock(store, time, "b")
    assert b.step() is None
    time.pass_(timedelta(seconds=10))
    assert b.step() is None, "ten seconds watched, although the record is 24 s old"
    time.pass_(timedelta(seconds=6))
    assert b.step() is not None


@pytest.mark.parametrize("skew", [timedelta(days=-365), timedelta(seconds=-25), timedelta(seconds=25), timedelta(days=365)])
def test_clocks_that_differ_make_no_second_leader(skew: timedelta) -> None:
    store, time, other = MemoryStore(), Time(), Time(skew)
    a, b = lock(store, time, "a"), lock(store, other, "b")
    for _ in range(20):
        assert a.step() is not None
        assert b.step() is None
        time.pass_(timedelta(seconds=5))
        other.pass_(timedelta(seconds=5))


def test_a_manager_that_starts_again_need_not_wait_for_its_former_self_and_gets_a_new_epoch() -> None:
    store, time = MemoryStore(), Time()
    lock(store, time, "a", "first").step()
    time.pass_(timedelta(seconds=1))
    lease = lock(store, time, "a", "second").step()
    assert lease is not None
    assert lease.epoch == 2


def test_a_released_lock_is_taken_at_once_and_its_epoch_goes_on() -> None:
    store, time = MemoryStore(), Time()
    a, b = lock(store, time, "a"), lock(store, time, "b")
    a.step()
    a.release()
    assert a.lease is None
    lease = b.step()
    assert lease is not None
    assert lease.epoch == 2


def test_a_paused_leader_that_wakes_may_begin_nothing() -> None:
    store, time = MemoryStore(), Time()
    a = lock(store, time, "a")
    lease = a.step()
    assert lease is not None
    a.require(lease.epoch)
    time.pass_(TTL)
    with pytest.raises(TransientError, match="over"):
        a.require(lease.epoch)


def test_nothing_is_begun_with_too_little_time_left() -> None:
    store, time = MemoryStore(), Time()
    a = lock(store, time, "a")
    lease = a.step()
    assert lease is not None
    time.pass_(TTL - SAFETY_MARGIN + timedelta(seconds=0.1))
    with pytest.raises(TransientError, match="ends in"):
        a.require(lease.epoch)


def test_an_action_of_an_earlier_epoch_is_not_begun_under_a_later_one() -> None:
    store, time = MemoryStore(), Time()
    a = lock(store, time, "a")
    a.step()
    time.pass_(TTL)
    lease = a.step()
    assert lease is not None
    assert lease.epoch == 2
    with pytest.raises(TransientError):
        a.require(1)


def test_a_leader_that_was_succeeded_while_it_slept_finds_the_lock_taken() -> None:
    store, time = MemoryStore(), Time()
    a, b = lock(store, time, "a"), lock(store, time, "b")
    a.step()
    b.step()
    time.pass_(TTL + timedelta(seconds=1))
    b.step()
    assert a.step() is None
    assert b.lease is not None


def test_a_write_whose_answer_was_lost_still_counts() -> None:
    class ForgetfulStore(MemoryStore):
        """Writes, then says that someone else was faster, as an SDK's own retry of a lost answer does."""

        def create(self, key: str, content: bytes) -> str:
            super().create(key, content)
            return super().create(key, content)

    a = lock(ForgetfulStore(), Time(), "a")
    assert a.step() is not None


def test_a_store_that_is_away_lets_the_leadership_lapse_and_not_earlier() -> None:
    class AwayStore(MemoryStore):
        away = False

        def replace_if_unchanged(self, key: str, content: bytes, version: str) -> str:
            if self.away:
                raise TransientError("503")
            return super().replace_if_unchanged(key, content, version)

        def read_versioned(self, key: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
            if self.away:
                raise TransientError("503")
            return super().read_versioned(key)

    store, time = AwayStore(), Time()
    a = lock(store, time, "a")
    a.step()
    store.away = True
    time.pass_(timedelta(seconds=5))
    with pytest.raises(TransientError):
        a.step()
    assert a.lease is not None
    time.pass_(timedelta(seconds=10))
    assert a.lease is None
    store.away = False
    lease = a.step()
    assert lease is not None
    assert lease.epoch == 2, "while it had lapsed, followers may have heard another"


def test_a_lock_that_was_lost_with_the_store_outgrows_what_followers_have_accepted() -> None:
    store, time = MemoryStore(), Time()
    a = lock(store, time, "a")
    a.step()
    a.outgrow(7)
    assert a.lease is None
    lease = a.step()
    assert lease is not None
    assert lease.epoch == 8


def test_the_record_survives_being_written_and_read() -> None:
    store, time = MemoryStore(), Time()
    lock(store, time, "a").step()
    content = store.read(LOCK_KEY)
    assert encode(decode(content)) == content


def test_a_twin_on_another_disk_does_not_take_the_lock_of_its_living_namesake() -> None:
    store, time = MemoryStore(), Time()
    real = LeaderLock(store, Me(id="a", instance="1", disk="x"), now=time.now, elapsed=lambda: time.elapsed)
    twin = LeaderLock(store, Me(id="a", instance="2", disk="y"), now=time.now, elapsed=lambda: time.elapsed)
    again = LeaderLock(store, Me(id="a", instance="3", disk="x"), now=time.now, elapsed=lambda: time.elapsed)
    assert real.step() is not None
    assert twin.step() is None
    assert again.step() is not None, "the same manager after a restart need not wait"


def test_a_manager_that_reaches_few_leaves_the_lock_to_others_for_a_while() -> None:
    store, time = MemoryStore(), Time()
    few = LeaderLock(store, Me(id="b", instance="1"), now=time.now, elapsed=lambda: time.elapsed, reluctance=lambda: RELUCTANCE)
    first, many = lock(store, time, "a"), lock(store, time, "c")
    first.step()
    few.step()
    many.step()
    time.pass_(TTL + timedelta(seconds=1))
    assert few.step() is None
    assert many.step() is not None
    time.pass_(TTL + RELUCTANCE + timedelta(seconds=1))
    few.step()
    time.pass_(TTL + RELUCTANCE + timedelta(seconds=1))
    assert few.step() is not None, "where nobody else does, it leads after all"


def test_a_leader_that_abstains_acts_no_more_releases_the_lock_and_takes_it_again_where_nobody_does() -> None:
    store, time = MemoryStore(), Time()
    a, b = lock(store, time, "a"), lock(store, time, "b")
    lease = a.step()
    assert lease is not None
    a.abstain(timedelta(seconds=15))
    assert a.lease is None
    with pytest.raises(TransientError):
        a.require(lease.epoch)
    assert a.step() is None
    assert b.step() is not None, "at once"
    b.release()
    time.pass_(timedelta(seconds=16))
    assert a.step() is not None


def test_a_manager_that_may_not_lead_gives_the_lock_back_and_takes_it_when_it_may() -> None:
    store, time = MemoryStore(), Time()
    allowed: list[timedelta | None] = [timedelta()]
    a = LeaderLock(store, Me(id="a", instance="1"), now=time.now, elapsed=lambda: time.elapsed, reluctance=lambda: allowed[0])
    assert a.step() is not None
    allowed[0] = None
    assert a.lease is None, "at once, before the store knows"
    assert a.step() is None
    record = decode(store.read(LOCK_KEY))
    assert record.holder == ""
    allowed[0] = timedelta()
    lease = a.step()
    assert lease is not None
    assert lease.epoch == 2
