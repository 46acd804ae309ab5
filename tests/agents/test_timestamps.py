"""RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import SpecError
from agents.timestamps import format_timestamp, parse_timestamp


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-08-22T02:47:30Z", datetime(2026, 8, 22, 2, 47, 30, tzinfo=UTC)),
        ("2026-08-22T04:47:30+02:00", datetime(2026, 8, 22, 2, 47, 30, tzinfo=UTC)),
        ("2026-08-22T02:47:30.123456789Z", datetime(2026, 8, 22, 2, 47, 30, 123456, tzinfo=UTC)),
        ("2026-08-22T02:47:30.5Z", datetime(2026, 8, 22, 2, 47, 30, 500000, tzinfo=UTC)),
    ],
)
def test_times_are_read_in_utc(text: str, expected: datetime) -> None:
    assert parse_timestamp(text, where="x") == expected


@pytest.mark.parametrize("text", ["", "2026-08-22", "2026-08-22T02:47:30", "2026-13-22T02:47:30Z", "0001-01-01T00:00:00+23:59", "now"])
def test_what_is_no_time_is_the_operators_error(text: str) -> None:
    with pytest.raises(SpecError, match="x: "):
        parse_timestamp(text, where="x")


@given(st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_is_read_back(moment: datetime) -> None:
    assert parse_timestamp(format_timestamp(moment), where="x") == moment
