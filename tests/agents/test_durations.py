"""Durations as Go and as people write them."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.durations import format_age, format_go_duration, parse_go_duration, parse_human_duration
from agents.errors import SpecError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("1m0s", 60),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("-2s", -2),
        ("+3s", 3),
        (".5s", 0.5),
        ("5.s", 5),
        ("250ms", 0.25),
    ],
)
def test_what_go_reads_is_read(text: str, seconds: float) -> None:
    assert parse_go_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "-", "s", ".s", "1d", "1h 30m", "1hm", "1e3s", "9999999h", "١s", "-+1s"])
def test_what_go_refuses_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="wanted a duration"):
        parse_go_duration(text)


def test_people_may_use_days_and_weeks() -> None:
    assert parse_human_duration("7d") == timedelta(days=7)
    assert parse_human_duration("1w2d3h") == timedelta(days=9, hours=3)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(), "0s"),
        (timedelta(microseconds=3), "3µs"),
        (timedelta(milliseconds=1.5), "1.5ms"),
        (timedelta(seconds=1.5), "1.5s"),
        (timedelta(seconds=90), "1m30s"),
        (timedelta(hours=1), "1h0m0s"),
        (timedelta(days=-2), "-48h0m0s"),
    ],
)
def test_durations_are_written_as_go_does(duration: timedelta, text: str) -> None:
    assert format_go_duration(duration) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (9.9, "9s"), (581, "9m41s"), (60, "1m"), (17220, "4h47m"), (266_400, "3d2h"), (312 * 86400 + 7, "312d")],
)
def test_ages_have_two_units(seconds: float, text: str) -> None:
    assert format_age(timedelta(seconds=seconds)) == text


@given(st.timedeltas(min_value=timedelta(days=-100_000), max_value=timedelta(days=100_000)))
def test_what_is_written_is_read_back(duration: timedelta) -> None:
    assert parse_go_duration(format_go_duration(duration)) == duration


@given(st.text(alphabet="0123456789.hmsnuµd+- "))
def test_any_text_is_a_duration_or_the_operators_error(text: str) -> None:
    with contextlib.suppress(SpecError):
        assert isinstance(parse_human_duration(text), timedelta)
