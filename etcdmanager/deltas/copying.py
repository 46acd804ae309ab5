"""Bringing deltas to a second store: those whose revisions are not there yet, each proven before it is written."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.errors import NotFoundError, VerificationError
from etcdmanager.deltas.chain import Lineage, Span
from etcdmanager.deltas.store import DeltaStore, Stored

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltasCopied:
    """What was done, and what is left for the next time."""

    copied: int
    missing: int


def missing_deltas(
    ours: Mapping[Lineage, Iterable[Stored]], theirs: Mapping[Lineage, Collection[Span]], *, now: datetime, keep: timedelta
) -> tuple[tuple[Lineage, Span], ...]:
    """Return which deltas hold a revision that the other store does not have, newest first; pure.

    They are compared by revisions, because both stores merge small deltas as they see fit. Those older than `keep` would soon be
    deleted there, and are left out.
    """
    missing: list[tuple[Lineage, Span]] = []
    for lineage, items in ours.items():
        there = _stretches(theirs.get(lineage, ()))
        young = (item.span for item in items if now - item.modified <= keep)
        missing += [(lineage, span) for span in young if not any(s.first <= span.first and span.last <= s.last for s in there)]
    return tuple(sorted(missing, key=lambda pair: (pair[0], pair[1]), reverse=True))


def copy_deltas(source: DeltaStore, target: DeltaStore, *, now: datetime, keep: timedelta, at_most: int) -> DeltasCopied:
    """Copy up to `at_most` deltas. One that is damaged, or was merged away meanwhile, is passed over; the store's errors as they come."""
    missing = missing_deltas(source.stored(), target.list(), now=now, keep=keep)
    copied = 0
    for lineage, span in missing[:at_most]:
        try:
            source.copy(lineage, span, target)
        except (NotFoundError, VerificationError) as error:
            log.warning("delta %d to %d of %s is not copied: %s", span.first, span.last, lineage, error)
            continue
        copied += 1
    return DeltasCopied(copied=copied, missing=len(missing) - copied)


def _stretches(spans: Iterable[Span]) -> list[Span]:
    """Return what the spans hold without a gap, in order."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.first <= found[-1].last + 1:
            found[-1] = Span(first=found[-1].first, last=max(found[-1].last, span.last))
        else:
            found.append(span)
    return found
