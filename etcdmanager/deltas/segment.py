"""A delta: all changes of an etcd from one revision to another, as a file; encoding and decoding, pure.

    magic          a line: etcd-delta-1
    header         one line of JSON: cluster, first and last revision, when which revision was seen, leases
    changes        gzip of [length varint, mvccpb.Event] …, in the order of revisions
    SHA-256        32 bytes, of all before

`first` is where the collector began to listen, so a delta says that nothing else changed between `first` and `last`. Revisions are the
address: deltas may overlap, and whoever wrote them is no matter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from agents.errors import SpecError, VerificationError
from agents.timestamps import format_timestamp, parse_timestamp
from etcdmanager.backups.compression import deflater, inflate

_MAGIC = b"etcd-delta-1\n"
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One key that was put or deleted."""

    revision: int
    key: bytes
    #: None: it was deleted.
    value: bytes | None
    #: 0 without one.
    lease: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a revision was the newest that the collector knew, by its clock."""

    at: datetime
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A delta's content."""

    cluster_id: int
    first: int
    last: int
    #: In order of revisions; several changes of one revision are one transaction.
    changes: tuple[Change, ...]
    #: In order.
    moments: tuple[Moment, ...]
    #: Granted TTL in seconds of leases that the changes name, as far as etcd still knew them.
    leases: tuple[tuple[int, int], ...] = ()
    etcd_version: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.last:
            raise SpecError(f"a delta from revision {self.first} to {self.last} is none")


def encode(segment: Segment) -> bytes:
    """Return the file."""
    header = {
        "clusterId": f"{segment.cluster_id:016x}",
        "first": segment.first,
        "last": segment.last,
        "etcdVersion": segment.etcd_version,
        "moments": [[format_timestamp(moment.at), moment.revision] for moment in segment.moments],
        "leases": {f"{lease:016x}": ttl for lease, ttl in segment.leases},
    }
    gzip = deflater()
    parts = [_MAGIC, json.dumps(header).encode(), b"\n", *(gzip.compress(piece) for piece in _messages(segment.changes)), gzip.flush()]
    content = b"".join(parts)
    return content + hashlib.sha256(content).digest()


def decode(content: bytes, *, where: str) -> Segment:
    """Return what is in a file; VerificationError where it is not exactly what was written."""
    body, digest = content[:-_HASH_BYTES], content[-_HASH_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        raise VerificationError(f"{where}: the delta's SHA-256 does not hold: it was cut off or changed", code="delta-hash")
    magic, _, rest = body.partition(b"\n")
    header, _, packed = rest.partition(b"\n")
    if magic + b"\n" != _MAGIC:
        raise VerificationError(f"{where}: wanted a delta of format {_MAGIC.decode().strip()}, found {magic[:20]!r}", code="delta-format")
    try:
        return _segment(json.loads(header), b"".join(inflate([packed])), where)
    except (ValueError, TypeError, KeyError, AttributeError, SpecError) as error:
        raise VerificationError(f"{where}: the delta's header is not as it is written: {error}", code="delta-format") from error


def joined(segments: Sequence[Segment]) -> Segment:
    """Return one delta for several that follow one another; SpecError where there is a gap between them, or another cluster's."""
    ordered = sorted(segments, key=lambda segment: (segment.first, segment.last))
    first = ordered[0]
    changes, moments, leases, last = list(first.changes), list(first.moments), dict(first.leases), first.last
    for segment in ordered[1:]:
        if segment.first > last + 1 or segment.cluster_id != first.cluster_id:
            raise SpecError(f"the deltas to {last} and from {segment.first} do not join")
        changes += [change for change in segment.changes if change.revision > last]
        moments += [moment for moment in segment.moments if moment.revision > last]
        leases |= dict(segment.leases)
        last = max(last, segment.last)
    return Segment(
        cluster_id=first.cluster_id,
        first=first.first,
        last=last,
        changes=tuple(changes),
        moments=tuple(moments),
        leases=tuple(sorted(leases.items())),
        etcd_version=ordered[-1].etcd_version,
    )


def transactions(changes: Iterable[Change], *, after: int, until: int) -> Iterator[tuple[int, tuple[Change, ...]]]:
    """Yield (revision, its changes) of all revisions greater than `after` and at most `until`, in order."""
    batch: list[Change] = []
    for change in changes:
        if not after < change.revision <= until:
            continue
        if batch and change.revision != batch[0].revision:
            yield batch[0].revision, tuple(batch)
            batch = []
        batch.append(change)
    if batch:
        yield batch[0].revision, tuple(batch)


def _messages(changes: Iterable[Change]) -> Iterator[bytes]:
    from etcdmanager.etcd.proto.kv_pb2 import Event, KeyValue

    for change in changes:
        kind = Event.DELETE if change.value is None else Event.PUT
        kv = KeyValue(key=change.key, value=change.value or b"", mod_revision=change.revision, lease=change.lease)
        message = Event(type=kind, kv=kv).SerializeToString()
        yield _varint(len(message)) + message


def _changes(content: bytes, where: str) -> Iterator[Change]:
    from google.protobuf.message import DecodeError

    from etcdmanager.etcd.proto.kv_pb2 import Event

    at = 0
    while at < len(content):
        length, at = _read_varint(content, at)
        try:
            event = Event.FromString(content[at : at + length])
        except DecodeError as error:
            raise VerificationError(f"{where}: a change in the delta cannot be read: {error}", code="delta-format") from error
        at += length
        value = None if event.type == Event.DELETE else event.kv.value
        yield Change(revision=event.kv.mod_revision, key=event.kv.key, value=value, lease=event.kv.lease)


def _segment(header: dict[str, object], content: bytes, where: str) -> Segment:
    moments, leases = header["moments"], header["leases"]
    if not isinstance(moments, list) or not isinstance(leases, dict):
        raise TypeError("moments and leases")
    return Segment(
        cluster_id=int(str(header["clusterId"]), 16),
        first=int(str(header["first"])),
        last=int(str(header["last"])),
        changes=tuple(_changes(content, where)),
        moments=tuple(Moment(at=parse_timestamp(str(at), where=where), revision=int(revision)) for at, revision in moments),
        leases=tuple(sorted((int(lease, 16), int(ttl)) for lease, ttl in leases.items())),
        etcd_version=str(header.get("etcdVersion", "")),
    )


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at] if at < len(content) else 0
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
