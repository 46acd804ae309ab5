"""Keeping the deltas few: small ones become larger ones, and those that no restore needs any more go.

At the recovery point that is promised, a busy cluster writes 17,000 deltas a day; merged, a hundred.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.errors import AgentError
from etcdmanager.backups.store import BackupStore
from etcdmanager.deltas.chain import Lineage, Span, is_of, runs, superseded
from etcdmanager.deltas.collect import fulls_of
from etcdmanager.deltas.store import DeltaStore, Stored

log = logging.getLogger(__name__)

#: Older ones are merged: restores are mostly to the last minutes, and the newest delta is about to be followed by another.
MERGE_AFTER = timedelta(minutes=15)
#: At most so many, and so much (compressed), become one: all of it is in memory for a moment.
_MERGED_SPANS = 200
_MERGED_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidied:
    """What was done."""

    merged: int
    deleted: int


def tidy(deltas: DeltaStore, backups: BackupStore, *, now: datetime, keep: timedelta) -> Tidied:
    """Merge and delete. A delta goes when it is older than `keep` and its lineage has a later full backup, or none at all.

    One that is damaged is left as it is, and said; cut off anywhere, no revision is lost.
    """
    merged = deleted = 0
    fulls = tuple(fulls_of(backups))
    for lineage, stored in deltas.stored().items():
        last_full = max((full.revision for full in fulls if is_of(full, lineage)), default=None)
        spans = [item.span for item in stored]
        before = max(span.last for span in spans) if last_full is None else last_full
        old = {item.span for item in stored if now - item.modified > keep}
        gone = [span for span in superseded(spans, before=before) if span in old]
        deltas.delete(lineage, gone)
        deleted += len(gone)
        small = [item for item in stored if item.span not in gone and now - item.modified > MERGE_AFTER]
        for group in to_merge(small):
            merged += _merge(deltas, lineage, group)
    if merged or deleted:
        log.info("deltas: %d merged, %d deleted", merged, deleted)
    return Tidied(merged=merged, deleted=deleted)


def to_merge(stored: list[Stored]) -> tuple[tuple[Span, ...], ...]:
    """Return which deltas become one each, in order: neighbours, few and small enough; pure. Larger ones stay as they are."""
    sizes = {item.span: item.size_bytes for item in stored if item.size_bytes < _MERGED_BYTES}
    groups: list[tuple[Span, ...]] = []
    for run in runs(sizes, at_most=_MERGED_SPANS):
        group: list[Span] = []
        size = 0
        for span in run:
            if group and size + sizes[span] > _MERGED_BYTES:
                groups.append(tuple(group))
                group, size = [], 0
            group.append(span)
            size += sizes[span]
        groups.append(tuple(group))
    return tuple(group for group in groups if len(group) > 1)


def _merge(deltas: DeltaStore, lineage: Lineage, group: tuple[Span, ...]) -> int:
    try:
        deltas.merge(lineage, group)
    except AgentError as error:
        log.warning("the deltas %d to %d of %s stay as they are: %s", group[0].first, group[-1].last, lineage, error)
        return 0
    return len(group)
