from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import SpecError, VerificationError
from etcdmanager.deltas.segment import Change, Moment, Segment, decode, encode, joined, transactions

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@st.composite
def segments(draw: st.DrawFn, first: int = 10) -> Segment:
    steps = draw(st.lists(st.integers(0, 2), max_size=12))
    changes, revision = [], first
    for step in steps:
        revision += step
        key, value, lease = draw(st.tuples(st.binary(min_size=1), st.none() | st.binary(), st.integers(0, 2**63 - 1)))
        changes.append(Change(revision=revision, key=key, value=value, lease=lease))
    last = revision + draw(st.integers(0, 3))
    return Segment(
        cluster_id=draw(st.integers(1, 2**64 - 1)),
        first=first,
        last=last,
        changes=tuple(changes),
        moments=tuple(Moment(at=NOON + timedelta(seconds=change.revision), revision=change.revision) for change in changes),
        leases=tuple(sorted(draw(st.dictionaries(st.integers(1, 2**63 - 1), st.integers(1, 9999), max_size=3)).items())),
        etcd_version="3.5.16",
    )


@given(segments())
def test_what_is_written_is_read(segment: Segment) -> None:
    assert decode(encode(segment), where="here") == segment


@given(segments(), st.data())
def test_any_changed_or_missing_byte_is_noticed(segment: Segment, data: st.DataObject) -> None:
    content = bytearray(encode(segment))
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] ^= data.draw(st.integers(1, 255))
    else:
        del content[at:]

    with pytest.raises(VerificationError, match="here"):
        decode(bytes(content), where="here")


@given(segments(), st.integers(0, 40), st.integers(0, 40))
def test_transactions_are_the_changes_within_their_bounds_by_revision(segment: Segment, after: int, until: int) -> None:
    found = list(transactions(segment.changes, after=after, until=until))

    assert [change for _, changes in found for change in changes] == [c for c in segment.changes if after < c.revision <= until]
    revisions = [revision for revision, _ in found]
    assert revisions == sorted(set(revisions))
    assert all(change.revision == revision for revision, changes in found for change in changes)


@given(st.data())
def test_joined_deltas_lead_where_the_single_ones_did_overlaps_or_not(data: st.DataObject) -> None:
    whole = data.draw(segments())
    cuts = sorted(data.draw(st.lists(st.integers(whole.first, whole.last), max_size=3)))
    parts, start = [], whole.first
    for end in [*cuts, whole.last]:
        begin = max(whole.first, start - data.draw(st.integers(0, 3)))
        if begin <= end:
            parts.append(part(whole, begin, end))
            start = end + 1

    assert joined(parts).changes == whole.changes
    assert (joined(parts).first, joined(parts).last) == (whole.first, whole.last)


def part(whole: Segment, first: int, last: int) -> Segment:
    return Segment(
        cluster_id=whole.cluster_id,
        first=first,
        last=last,
        changes=tuple(c for c in whole.changes if first <= c.revision <= last),
        moments=tuple(m for m in whole.moments if first <= m.revision <= last),
    )


def test_deltas_with_a_gap_are_never_joined() -> None:
    one = Segment(cluster_id=1, first=2, last=5, changes=(), moments=())
    other = Segment(cluster_id=1, first=7, last=9, changes=(), moments=())

    with pytest.raises(SpecError, match="do not join"):
        joined([one, other])
