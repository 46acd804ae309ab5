from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.stores.local import LocalStore
from etcdmanager.backups.store import BackupStore
from etcdmanager.deltas.chain import Lineage, Span, reach
from etcdmanager.deltas.point_in_time import PointInTime
from etcdmanager.deltas.segment import Change, Moment, Segment
from etcdmanager.deltas.store import DeltaStore, Stored
from etcdmanager.deltas.tidy import MERGE_AFTER, Tidied, tidy, to_merge
from tests.support.snapshot import sample_backups

NOW = datetime.now(UTC)
#: The sample backups' cluster is 1, and their newest has revision 8 and was taken in January 2026.
LINEAGE = Lineage(cluster_id=1, started_at=datetime(2026, 1, 1, tzinfo=UTC))
WEEK = timedelta(days=7)


@pytest.fixture
def deltas(tmp_path: Path) -> DeltaStore:
    sample_backups(tmp_path)
    return DeltaStore(LocalStore(tmp_path))


def add(deltas: DeltaStore, tmp_path: Path, first: int, last: int, *, age: timedelta) -> None:
    changes = tuple(Change(revision=revision, key=b"k", value=b"%d" % revision) for revision in range(first, last + 1))
    deltas.write(LINEAGE, Segment(cluster_id=1, first=first, last=last, changes=changes, moments=(Moment(at=NOW - age, revision=last),)))
    written = (NOW - age).timestamp()
    os.utime(tmp_path / "deltas" / str(LINEAGE) / f"{first:020d}-{last:020d}.delta", (written, written))


def test_old_deltas_before_a_full_backup_go_small_ones_become_one_and_new_ones_stay(deltas: DeltaStore, tmp_path: Path) -> None:
    add(deltas, tmp_path, 2, 4, age=WEEK * 2)
    add(deltas, tmp_path, 5, 8, age=timedelta(days=1))
    add(deltas, tmp_path, 9, 11, age=timedelta(hours=2))
    add(deltas, tmp_path, 12, 12, age=timedelta(hours=1))
    add(deltas, tmp_path, 13, 20, age=timedelta(0))

    done = tidy(deltas, BackupStore(LocalStore(tmp_path)), now=NOW, keep=WEEK)

    assert done == Tidied(merged=3, deleted=1)
    assert deltas.list()[LINEAGE] == (Span(first=5, last=12), Span(first=13, last=20))
    assert [change.revision for change in deltas.read(LINEAGE, Span(first=5, last=12)).changes] == list(range(5, 13))


def test_a_delta_that_leads_on_from_the_last_full_backup_stays_however_old_it_is(deltas: DeltaStore, tmp_path: Path) -> None:
    add(deltas, tmp_path, 9, 11, age=WEEK * 20)

    assert tidy(deltas, BackupStore(LocalStore(tmp_path)), now=NOW, keep=WEEK) == Tidied(merged=0, deleted=0)


def test_a_damaged_delta_stops_neither_the_others_nor_is_it_deleted(deltas: DeltaStore, tmp_path: Path) -> None:
    for first in (9, 10, 12, 13):
        add(deltas, tmp_path, first, first, age=MERGE_AFTER * 2)
    damaged = tmp_path / "deltas" / str(LINEAGE) / f"{9:020d}-{9:020d}.delta"
    damaged.write_bytes(b"broken")
    os.utime(damaged, ((NOW - MERGE_AFTER * 2).timestamp(),) * 2)

    assert tidy(deltas, BackupStore(LocalStore(tmp_path)), now=NOW, keep=WEEK) == Tidied(merged=2, deleted=0)
    assert deltas.list()[LINEAGE] == (Span(first=9, last=9), Span(first=10, last=10), Span(first=12, last=13))


def test_a_listing_tells_what_is_there_though_the_newest_delta_is_damaged(tmp_path: Path, deltas: DeltaStore) -> None:
    add(deltas, tmp_path, 9, 11, age=timedelta(0))
    (tmp_path / "deltas" / str(LINEAGE) / f"{9:020d}-{11:020d}.delta").write_bytes(b"broken")

    (window,) = PointInTime(BackupStore(LocalStore(tmp_path))).windows()

    assert (window.last_revision, window.until) == (11, None)
    assert "SHA-256" in window.problem


STORED = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 6), st.integers(0, 6 << 20)).map(
        lambda t: Stored(span=Span(first=t[0], last=t[0] + t[1]), size_bytes=t[2], modified=NOW)
    ),
    max_size=20,
    unique_by=lambda stored: stored.span,
)


@given(STORED)
def test_merging_never_bridges_a_gap(stored: list[Stored]) -> None:
    groups = to_merge(stored)

    for group in groups:
        assert len(group) > 1
        assert reach(group, after=group[0].first - 1) == max(span.last for span in group)
    chosen = [span for group in groups for span in group]
    assert len(chosen) == len(set(chosen))
