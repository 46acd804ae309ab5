from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import NotFoundError
from etcdmanager.deltas.chain import Full, Lineage, Span, cover, path_to, reach, runs, superseded

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LINEAGE = Lineage(cluster_id=0xABC, started_at=NOON)

SPANS = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 9)).map(lambda pair: Span(first=pair[0], last=pair[0] + pair[1])), max_size=12
)


def full(revision: int, *, cluster: int = 0xABC, minutes: int = 0) -> Full:
    return Full(name=f"full-{revision}", cluster_id=cluster, revision=revision, taken_at=NOON + timedelta(minutes=minutes))


def held(spans: list[Span]) -> set[int]:
    return {revision for span in spans for revision in range(span.first, span.last + 1)}


@given(SPANS, st.integers(0, 45), st.integers(0, 45))
def test_a_cover_holds_every_revision_and_exists_whenever_it_can(spans: list[Span], after: int, until: int) -> None:
    wanted = set(range(after + 1, until + 1))
    found = cover(spans, after=after, until=until)

    assert (found is not None) == (wanted <= held(spans))
    assert found is None or wanted <= held(list(found))


@given(SPANS, st.integers(0, 45))
def test_the_reach_is_the_last_revision_with_a_cover(spans: list[Span], after: int) -> None:
    end = reach(spans, after=after)

    assert cover(spans, after=after, until=end) is not None
    assert end + 1 not in held(spans)


@given(SPANS, st.lists(st.integers(1, 45), max_size=4), st.integers(1, 50))
def test_a_path_begins_at_a_full_backup_and_misses_nothing(spans: list[Span], revisions: list[int], target: int) -> None:
    fulls = [full(revision) for revision in revisions]
    try:
        path = path_to(target, LINEAGE, fulls, spans)
    except NotFoundError:
        assert all(revision > target or cover(spans, after=revision, until=target) is None for revision in revisions)
        return
    assert path.full.revision <= target
    assert set(range(path.full.revision + 1, target + 1)) <= held(list(path.spans))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(full(10, cluster=0xDEF), id="of another cluster"),
        pytest.param(full(10, minutes=-1), id="taken before a restore began this lineage"),
    ],
)
def test_a_full_backup_of_another_life_leads_nowhere(other: Full) -> None:
    with pytest.raises(NotFoundError, match="no full backup"):
        path_to(12, LINEAGE, [other], [Span(first=11, last=20)])


def test_a_revision_behind_a_gap_is_said_with_what_can_be_restored() -> None:
    with pytest.raises(NotFoundError, match="revision 30 cannot be restored; what can: 10 to 20, 40 to 40"):
        path_to(30, LINEAGE, [full(10), full(40)], [Span(first=11, last=20), Span(first=25, last=35)])


@given(SPANS, st.integers(1, 4))
def test_runs_keep_every_span_and_have_no_gap_within(spans: list[Span], at_most: int) -> None:
    groups = runs(spans, at_most=at_most)

    assert sorted(span for group in groups for span in group) == sorted(spans)
    for group in groups:
        assert len(group) <= at_most
        assert reach(group, after=group[0].first - 1) == max(span.last for span in group)


@given(SPANS, st.integers(0, 50), st.integers(0, 50))
def test_what_is_superseded_is_needed_by_no_later_revision(spans: list[Span], before: int, target: int) -> None:
    gone = superseded(spans, before=before)
    left = [span for span in spans if span not in gone]

    if target >= before:
        assert (cover(spans, after=before, until=target) is None) == (cover(left, after=before, until=target) is None)


@given(st.integers(1, 2**64 - 1), st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 (made aware below)
def test_a_lineage_is_read_back_from_its_name(cluster: int, started: datetime) -> None:
    lineage = Lineage(cluster_id=cluster, started_at=started.replace(microsecond=0, tzinfo=UTC))

    assert Lineage.parse(str(lineage)) == lineage


@given(st.text(max_size=30))
def test_no_name_breaks_a_listing(name: str) -> None:
    found = Lineage.parse(name)

    assert found is None or found.cluster_id >= -(2**64)
