from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from etcdmanager.etcd.exposition import COMMIT, FSYNC, Histogram, histograms

TEXT = """\
# TYPE etcd_disk_wal_fsync_duration_seconds histogram
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 90
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.002"} 98
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.004"} 100
etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} 100
etcd_disk_wal_fsync_duration_seconds_sum 0.1
etcd_other_bucket{le="1"} 5
etcd_disk_wal_fsync_duration_seconds_bucket{le="x"} 1
etcd_disk_wal_fsync_duration_seconds_bucket{le="8"} many
"""
counts = st.lists(st.integers(0, 1000), min_size=1, max_size=8).map(
    lambda steps: Histogram(tuple((float(2**n), float(sum(steps[: n + 1]))) for n in range(len(steps))))
)


def test_a_quantile_is_interpolated_within_its_bucket() -> None:
    found = histograms(TEXT, FSYNC, COMMIT)

    assert found[FSYNC].quantile(0.99) == 0.003
    assert found[FSYNC].quantile(0.5) is not None
    assert found[COMMIT].quantile(0.99) is None


def test_what_is_beyond_the_last_bound_counts_as_that_bound() -> None:
    assert Histogram(((1.0, 1.0), (float("inf"), 100.0))).quantile(0.99) == 1.0


def test_a_process_that_began_anew_is_counted_from_its_beginning() -> None:
    late = Histogram(((1.0, 5.0),))

    assert late.since(Histogram(((1.0, 50.0),))) == late
    assert Histogram(((1.0, 50.0),)).since(late).count == 45


@given(counts, st.floats(0, 1), st.floats(0, 1))
def test_quantiles_grow_with_the_share_and_stay_within_the_bounds(histogram: Histogram, one: float, other: float) -> None:
    low, high = (histogram.quantile(share) for share in sorted((one, other)))
    if low is None or high is None:
        assert histogram.count == 0
    else:
        assert 0 <= low <= high + 1e-9
        assert high <= histogram.buckets[-1][0]


@given(st.text(max_size=200))
def test_any_text_is_read_without_error(text: str) -> None:
    assert set(histograms(text, FSYNC)) == {FSYNC}
