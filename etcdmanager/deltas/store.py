"""The deltas in a backup store: `deltas/<lineage>/<first>-<last>.delta`, beside the backups. The Go programs never look there.

Methods block, as a Store does.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from agents.errors import ConflictError, VerificationError
from agents.stores.protocol import Store
from etcdmanager.backups.encryption import KeySource, no_keys, sealed, unsealed
from etcdmanager.deltas.chain import Lineage, Span
from etcdmanager.deltas.segment import Segment, decode, encode, joined

_DIRECTORY = "deltas"
_NAME = re.compile(r"([^/]+)/(\d{20})-(\d{20})\.delta")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A delta as a listing shows it."""

    span: Span
    size_bytes: int
    modified: datetime


class DeltaStore:
    """All deltas of one backup store; `keys` say with what they are encrypted."""

    def __init__(self, backup_store: Store, keys: KeySource = no_keys) -> None:
        self._store = backup_store.child(_DIRECTORY)
        self._keys = keys

    @property
    def url(self) -> str:
        """The URL, for messages."""
        return self._store.url

    def stored(self) -> Mapping[Lineage, tuple[Stored, ...]]:
        """Return what is stored, by lineage, each in order; one listing."""
        found: dict[Lineage, list[Stored]] = defaultdict(list)
        for entry in self._store.list():
            match = _NAME.fullmatch(entry.key)
            lineage = Lineage.parse(match.group(1)) if match else None
            if match is not None and lineage is not None:
                span = Span(first=int(match.group(2)), last=int(match.group(3)))
                found[lineage].append(Stored(span=span, size_bytes=entry.size_bytes, modified=entry.modified))
        return {lineage: tuple(sorted(items, key=lambda item: item.span)) for lineage, items in sorted(found.items())}

    def list(self) -> Mapping[Lineage, tuple[Span, ...]]:
        """Return the spans of all lineages, in order; one listing."""
        return {lineage: tuple(item.span for item in items) for lineage, items in self.stored().items()}

    def read(self, lineage: Lineage, span: Span) -> Segment:
        """Return a delta; NotFoundError, VerificationError where it is damaged or not what its name says, AccessError without its key."""
        return self._decoded(lineage, span, self._store.read(_key(lineage, span)))

    def copy(self, lineage: Lineage, span: Span, target: DeltaStore) -> None:
        """Bring a delta to another store as it is, once it is proven; one that is there stays. Errors as of `read`."""
        key = _key(lineage, span)
        content = self._store.read(key)
        self._decoded(lineage, span, content)
        with suppress(ConflictError):
            target._store.create(key, content)

    def _decoded(self, lineage: Lineage, span: Span, content: bytes) -> Segment:
        key = _key(lineage, span)
        where = f"{self.url}/{key}"
        segment = decode(b"".join(unsealed([content], self._keys(), where=where)), where=where)
        if (segment.cluster_id, segment.first, segment.last) != (lineage.cluster_id, span.first, span.last):
            raise VerificationError(
                f"{self.url}/{key} holds revisions {segment.first} to {segment.last} of cluster {segment.cluster_id:x}", code="delta-name"
            )
        return segment

    def write(self, lineage: Lineage, segment: Segment) -> None:
        """Add a delta; one that is there already holds the same changes and stays."""
        keys, content = self._keys().keys, encode(segment)
        with suppress(ConflictError):
            key = _key(lineage, Span(first=segment.first, last=segment.last))
            self._store.create(key, b"".join(sealed([content], keys[0])) if keys else content)

    def delete(self, lineage: Lineage, spans: Sequence[Span]) -> None:
        """Delete deltas; those that are gone already are no matter."""
        for span in spans:
            self._store.delete(_key(lineage, span))

    def merge(self, lineage: Lineage, spans: Sequence[Span]) -> Span:
        """Put one delta in the place of several that follow one another. Cut off anywhere, nothing is missing: they may overlap."""
        segment = joined([self.read(lineage, span) for span in spans])
        whole = Span(first=segment.first, last=segment.last)
        self.write(lineage, segment)
        self.read(lineage, whole)
        self.delete(lineage, [span for span in spans if span != whole])
        return whole


def _key(lineage: Lineage, span: Span) -> str:
    return f"{lineage}/{span.first:020d}-{span.last:020d}.delta"
