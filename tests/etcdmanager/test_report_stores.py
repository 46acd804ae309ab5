from __future__ import annotations

from datetime import UTC, datetime, timedelta

from etcdmanager.backups.second_store import CopyRound
from etcdmanager.backups.second_store_keeper import CopyNews
from etcdmanager.backups.spool_keeper import SpoolNews
from etcdmanager.backups.spool_plan import Spooled
from etcdmanager.report_stores import copies_document, copies_waiting, spool_document, spool_waiting

NOW = datetime(2026, 1, 4, tzinfo=UTC)
ROUND = CopyRound(newest_at=NOW, lag=timedelta(minutes=15), copied=1, missing_backups=2, missing_deltas=3)
WAITING = Spooled(name="2026-01-04T00:00:00Z-000001", taken_at=NOW, size_bytes=7)


def test_a_second_store_tells_how_far_it_is_behind() -> None:
    told = copies_document(CopyNews(url="s3://far", copying=True, last=ROUND, last_at=NOW))

    assert told is not None
    assert (told["lagSeconds"], told["missingBackups"], told["missingDeltas"], told["newestBackup"]) == (
        900.0,
        2,
        3,
        "2026-01-04T00:00:00Z",
    )
    assert copies_document(CopyNews()) is None


def test_a_second_store_that_fails_for_a_moment_is_no_trouble_and_for_long_it_is() -> None:
    failing = CopyNews(url="s3://far", copying=True, problem="no route", problem_code="store-unreachable", problem_since=NOW)

    assert copies_waiting(failing, NOW + timedelta(minutes=4)) == ()
    (waiting,) = copies_waiting(failing, NOW + timedelta(minutes=5))
    assert waiting.reason.startswith("second-store-store-unreachable: s3://far does not have everything: no route")
    assert waiting.since == NOW


def test_backups_that_wait_are_told_and_where_they_lie() -> None:
    (waiting,) = spool_waiting(SpoolNews(directory="/data/backup-spool", spooled=(WAITING,), away_since=NOW))

    assert waiting.reason == "backups-spooled: 2026-01-04T00:00:00Z-000001 in /data/backup-spool wait for the store"
    assert spool_waiting(SpoolNews(directory="/data/backup-spool")) == ()
    assert spool_document(SpoolNews()) is None


def test_a_store_that_is_away_with_nothing_kept_here_is_the_worse_trouble() -> None:
    (waiting,) = spool_waiting(SpoolNews(directory="/data/backup-spool", away_since=NOW, problem="1 MiB are free"))

    assert waiting.reason.startswith("spool-problem: the store is away, and no backup is kept on this machine: 1 MiB are free")
