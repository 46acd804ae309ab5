from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from etcdmanager.backups.meta import BackupMeta
from etcdmanager.backups.preflight import Wish, refusals
from etcdmanager.backups.verify import Holdings, Verified
from etcdmanager.control.commands import LeaderReport, Receipt
from etcdmanager.etcd.snapshot import SnapshotDigest
from etcdmanager.spec import ClusterSpec

TAKEN = datetime(2026, 8, 22, 2, 0, tzinfo=UTC)
NOW = TAKEN + timedelta(minutes=20)
SPEC = ClusterSpec(member_count=3, etcd_version="3.5.16")
WISH = Wish(cluster="c", etcd_cluster="etcd")
VERIFIED = Verified(
    name="2026-08-22T02:00:00Z-000001",
    meta=BackupMeta(etcd_version="3.5.16", taken_at=TAKEN, spec=SPEC),
    manifest=None,
    contents=Holdings(revision=100, compacted_revision=0, keys=1, leases=0, size_bytes=4096),
    snapshot=SnapshotDigest(db_size_bytes=4096, db_sha256="00"),
    gz_size_bytes=100,
)
LIVE = LeaderReport(
    reported_at=NOW - timedelta(seconds=5),
    leader="a",
    epoch=1,
    has_quorum=True,
    revision=150,
    etcd_version="3.5.16",
    healthy=("a", "b"),
    members=("a", "b", "c"),
)
LAST = Receipt(command="x", backup="b", finished_at=NOW - timedelta(minutes=5), members=(), revision=1, keys=1)


def codes(
    wish: Wish = WISH, *, live: LeaderReport | None = None, last: Receipt | None = None, spec: ClusterSpec = SPEC, now: datetime = NOW
) -> list[str]:
    return [refusal.code.partition("-")[0] for refusal in refusals(wish, VERIFIED, spec=spec, live=live, last=last, now=now)]


def test_nothing_forbids_a_restore_of_a_cluster_that_is_down() -> None:
    assert codes() == []
    assert codes(live=replace(LIVE, has_quorum=False)) == []


def test_a_healthy_quorum_with_newer_data_forbids_it_unless_overridden() -> None:
    assert codes(live=LIVE) == ["S3"]
    assert codes(replace(WISH, discard_newer=True), live=LIVE) == []


def test_a_report_from_before_the_backup_cannot_say_that_nothing_is_newer() -> None:
    taken_just_now = TAKEN + timedelta(seconds=3)

    assert codes(live=replace(LIVE, revision=100, reported_at=TAKEN - timedelta(seconds=1)), now=taken_just_now) == ["S3"]
    assert codes(live=replace(LIVE, revision=100)) == []


def test_a_report_that_is_too_old_says_nothing_about_now() -> None:
    assert codes(live=replace(LIVE, reported_at=NOW - timedelta(minutes=5))) == []


def test_a_second_restore_soon_after_the_first_needs_a_second_thought() -> None:
    assert codes(last=LAST) == ["S7"]
    assert codes(replace(WISH, again=True), last=LAST) == []
    assert codes(last=replace(LAST, finished_at=NOW - timedelta(minutes=11))) == []


@pytest.mark.parametrize(("version", "found"), [("3.5.30", []), ("3.6.1", []), ("3.4.23", ["S9"]), ("3.7.0", ["S9"])])
def test_only_an_etcd_that_can_open_the_backup_will_do(version: str, found: list[str]) -> None:
    assert codes(spec=replace(SPEC, etcd_version=version)) == found


def test_every_rule_that_forbids_it_is_named() -> None:
    assert codes(live=LIVE, last=LAST, spec=replace(SPEC, etcd_version="3.4.23")) == ["S3", "S7", "S9"]
