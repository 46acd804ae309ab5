from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeup.bootstrap.refusal import Reason, Refusal, first_line, refusal_of_status
from nodeup.bootstrap.schedule import LONGEST_RETRY_AFTER, Failures, pause_after

NOW = datetime(2026, 1, 1, tzinfo=UTC)

REFUSALS = st.builds(
    Refusal,
    reason=st.sampled_from(Reason),
    message=st.just(""),
    retry_after=st.none() | st.timedeltas(min_value=timedelta(), max_value=timedelta(days=400)),
)


def after(*refusals: Refusal) -> Failures:
    failures = Failures()
    for refusal in refusals:
        failures = failures.after(refusal)
    return failures


@given(st.lists(REFUSALS, min_size=1, max_size=40), st.floats(min_value=0, max_value=0.999))
def test_no_pause_is_longer_than_seven_minutes_or_shorter_than_the_server_asked(refusals: list[Refusal], chance: float) -> None:
    last = refusals[-1]

    pause = pause_after(last, after(*refusals), lambda: chance)

    assert timedelta() <= pause <= LONGEST_RETRY_AFTER + timedelta(minutes=2)
    assert pause >= min(last.retry_after or timedelta(), LONGEST_RETRY_AFTER)


@given(REFUSALS, st.integers(min_value=1, max_value=30))
def test_the_same_refusal_is_never_followed_by_a_lower_ceiling(refusal: Refusal, times: int) -> None:
    fewer, more = after(*[refusal] * times), after(*[refusal] * (times + 1))

    assert pause_after(refusal, fewer, lambda: 0.5) <= pause_after(refusal, more, lambda: 0.5)


def test_a_control_plane_that_starts_is_asked_again_within_a_second_first() -> None:
    refusal = Refusal(reason=Reason.UNREACHABLE, message="")

    ceilings = [pause_after(refusal, after(*[refusal] * count), lambda: 1.0).total_seconds() for count in range(1, 8)]

    assert ceilings == [1, 2, 4, 8, 16, 30, 30]


def test_throttled_nodes_spread_over_a_minute_whatever_came_before() -> None:
    absent, throttled = Refusal(reason=Reason.UNREACHABLE, message=""), Refusal(reason=Reason.THROTTLED, message="")

    pause = pause_after(throttled, after(absent, absent, throttled), lambda: 1.0)

    assert pause == timedelta(seconds=60)


def test_pauses_are_spread_evenly() -> None:
    chance, refusal = random.Random(1), Refusal(reason=Reason.THROTTLED, message="")

    pauses = [pause_after(refusal, after(refusal), chance.random).total_seconds() for _ in range(6000)]

    for begin in range(0, 60, 10):
        assert 850 < sum(begin <= pause < begin + 10 for pause in pauses) < 1150


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, Reason.REJECTED),
        (401, Reason.DENIED),
        (403, Reason.DENIED),
        (404, Reason.REJECTED),
        (409, Reason.JOINED),
        (429, Reason.THROTTLED),
        (500, Reason.FAILED),
        (503, Reason.THROTTLED),
        (302, Reason.FAILED),
    ],
)
def test_every_status_means_something(status: int, reason: Reason) -> None:
    refusal = refusal_of_status(status, b"why\nmore", None, where="https://a:3988/", now=NOW)

    assert refusal.reason is reason
    assert refusal.message == f"https://a:3988/ answered {status}: why"


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        ("7", timedelta(seconds=7)),
        ("0", timedelta()),
        (" 120 ", timedelta(minutes=2)),
        ("Thu, 01 Jan 2026 00:01:30 GMT", timedelta(seconds=90)),
        ("Wed, 31 Dec 2025 00:00:00 GMT", None),
        ("9" * 400, timedelta(seconds=999999999)),
        ("soon", None),
        ("-3", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, pause: timedelta | None) -> None:
    assert refusal_of_status(429, b"", header, where="x", now=NOW).retry_after == pause


@given(st.text(max_size=60))
def test_any_retry_after_is_read_or_left_alone(header: str) -> None:
    refusal_of_status(429, b"", header, where="x", now=NOW)


@given(st.binary(max_size=2000))
def test_a_quoted_body_is_one_printable_line(body: bytes) -> None:
    quoted = first_line(body)

    assert len(quoted) <= 300
    assert quoted.isprintable() or not quoted.isascii()
    assert "\n" not in quoted
    assert "\x1b" not in quoted
