from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from etcdmanager.told import told_cluster
from etcdmanager.watching import Look, MemberLook, Sizes, document_of, look_from_told, text_of
from tests.etcdmanager.doctor.test_rules import cluster, row

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def look(at: datetime, size: int, *, serves: bool = True) -> Look:
    members = (MemberLook(name="a", role="voter", serves=serves, raft_index=10, db_size_bytes=size),)
    return Look(at=at, told_by="asked", told_at=at, raft_leader="a", manager="a", members=members)


def test_growth_is_told_per_hour_once_two_looks_are_far_enough_apart() -> None:
    sizes, first = Sizes().with_look(look(NOON, 1000))
    sizes, early = sizes.with_look(look(NOON + timedelta(seconds=2), 2000))
    _, later = sizes.with_look(look(NOON + timedelta(minutes=6), 7000))

    assert [one.members[0].growth_per_hour_bytes for one in (first, early, later)] == [None, None, 60_000]


def test_lag_is_counted_from_the_furthest_member_that_serves() -> None:
    told = told_cluster(cluster(row("a", raftIndex=500), row("b", raftIndex=490), row("c", raftIndex=9999, serves=False, problem="silent")))
    found = document_of(look_from_told(told, told_by="a", told_at=NOON, manager="a", now=NOON))
    members = found["members"]

    assert isinstance(members, list)
    assert [member["lag"] for member in members] == [0, 10, None]


@given(st.lists(st.tuples(st.integers(0, 7200), st.integers(0, 10**12)), max_size=6), st.booleans())
def test_every_look_has_a_text_and_a_document(steps: list[tuple[int, int]], serves: bool) -> None:
    sizes = Sizes()
    for seconds, size in sorted(steps):
        sizes, found = sizes.with_look(look(NOON + timedelta(seconds=seconds), size, serves=serves))
        noted = replace(found, alarms=("NOSPACE a",), fsync_p99_seconds=0.004, notes=("paused",))
        assert "NOSPACE a" in text_of("prod main", noted)
        json.dumps(document_of(noted))
