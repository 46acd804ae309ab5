from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdmanager.backups.freshness import Level, Seen, Verdict, verdict

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HALF_AN_HOUR = timedelta(minutes=30)
STALE = timedelta(seconds=150)


def backup(minutes_ago: float, *, verified: bool = True) -> Seen:
    taken_at = NOW - timedelta(minutes=minutes_ago)
    return Seen(name=f"{taken_at:%H:%M:%S}", taken_at=taken_at, verified=verified)


def judge(*backups: Seen, told: float | None = 0.5) -> Verdict:
    told_at = None if told is None else NOW - timedelta(minutes=told)
    return verdict(backups, told_at=told_at, now=NOW, max_age=HALF_AN_HOUR, stale_after=STALE)


@pytest.mark.parametrize(
    ("found", "level", "says"),
    [
        pytest.param(judge(backup(10)), Level.OK, "is verified and 10m old", id="a young verified backup"),
        pytest.param(judge(), Level.CRITICAL, "no backups", id="none at all"),
        pytest.param(judge(backup(1, verified=False)), Level.CRITICAL, "none of 1 backups is verified", id="only an unproven one"),
        pytest.param(judge(backup(31)), Level.CRITICAL, "wanted at most 30m", id="an old one"),
        pytest.param(judge(backup(31), backup(1, verified=False)), Level.CRITICAL, "31m old", id="an unproven one makes nothing good"),
        pytest.param(judge(backup(10), backup(1, verified=False)), Level.WARNING, "is not verified", id="the newest was not proven"),
        pytest.param(judge(backup(10), backup(-600)), Level.WARNING, "1 are dated into the future", id="a wrong clock"),
        pytest.param(judge(backup(10), told=None), Level.WARNING, "no manager leads", id="nobody ever led"),
        pytest.param(judge(backup(10), told=20), Level.WARNING, "last heard of 20m ago", id="the leader is silent"),
    ],
)
def test_backups_are_judged_by_the_newest_that_is_proven(found: Verdict, level: Level, says: str) -> None:
    assert found.level is level
    assert says in found.message


SEEN = st.builds(backup, st.floats(-1000, 1000), verified=st.booleans())


@given(st.lists(SEEN, max_size=6), st.none() | st.floats(0, 100))
def test_never_ok_without_a_young_verified_backup(backups: list[Seen], told: float | None) -> None:
    if judge(*backups, told=told).level in {Level.OK, Level.WARNING}:
        assert any(seen.verified and seen.taken_at >= NOW - HALF_AN_HOUR for seen in backups)


@given(st.lists(SEEN, max_size=6).flatmap(lambda backups: st.tuples(st.just(backups), st.permutations(backups))))
def test_the_order_of_a_listing_is_no_matter(orders: tuple[list[Seen], list[Seen]]) -> None:
    one, other = orders

    assert judge(*one).level is judge(*other).level
