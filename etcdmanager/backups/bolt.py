"""Reading an etcd database file: a small read-only walker of bbolt's pages, and what a snapshot holds.

It is enough to open a snapshot, to walk every page of every bucket and to count what is in it, so that a backup can be
verified where no etcd binary lies. It never writes, and it trusts nothing: a page out of bounds, of a wrong kind,
visited twice or with keys out of order is VerificationError. What it does *not* check is the content of values beyond
what it counts; the SHA-256 of the snapshot stands for that.

    page      | id u64 | flags u16 | count u16 | overflow u32 | elements, then their keys and values
    meta      | magic u32 | version u32 | page size u32 | flags u32 | root u64 | sequence u64 | freelist u64 |
              | high water u64 | transaction u64 | FNV-1a 64 of all that u64 |     pages 0 and 1; the higher transaction counts
    branch    | pos u32 | key size u32 | page u64 |                                 per child
    leaf      | flags u32 | pos u32 | key size u32 | value size u32 |               per pair; flag 1: the value is a bucket
    bucket    | root u64 | sequence u64 | an inline page, if root is 0 |

Source: the file format of go.etcd.io/bbolt (little-endian on every machine that etcd supports), and etcd's buckets.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from agents.errors import VerificationError

_MAGIC = 0xED0CDAED
_FORMAT = 2
_BRANCH, _LEAF, _META = 0x01, 0x02, 0x04
_BUCKET_FLAG = 0x01
_PAGE = struct.Struct("<QHHI")
_META_PAGE = struct.Struct("<IIIIQQQQQQ")
_BRANCH_ELEMENT = struct.Struct("<IIQ")
_LEAF_ELEMENT = struct.Struct("<IIII")
_BUCKET = struct.Struct("<QQ")
#: bbolt takes the page size of the machine that made the file; from 1 KiB on all powers of two are looked at.
_PAGE_SIZES = tuple(1 << bits for bits in range(10, 18))
#: A tree of 2^64 pages with two children each would not be deeper.
_MAX_DEPTH = 64
#: A revision: 8 bytes, "_", 8 bytes; a tombstone has a "t" behind it.
REVISION = struct.Struct(">QcQ")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMember:
    """A member as the database remembers it; a restore replaces them all."""

    id: int
    name: str
    peer_urls: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What was counted in an etcd database."""

    #: The last revision with a change in it; 1 for a database without any.
    revision: int
    #: Everything before it was forgotten; 0 where nothing was.
    compacted_revision: int
    #: Keys that exist at `revision`.
    keys: int
    #: All stored versions of keys, tombstones among them.
    versions: int
    tombstones: int
    leases: int
    #: The raft index and term that the database has applied; 0 where it does not say (term: before 3.5).
    consistent_index: int
    term: int
    members: tuple[StoredMember, ...]
    #: Pairs in all buckets together: what `etcdutl snapshot status` calls TOTAL KEYS before 3.6.
    entries: int
    size_bytes: int


def read_contents(file: IO[bytes], *, size_bytes: int | None = None) -> Contents:
    """Count the database in an open file; VerificationError for what is no sound database.

    `size_bytes` is where the database ends, for a snapshot that still has its SHA-256 behind it; by default the file's end.
    """
    length = os.fstat(file.fileno()).st_size
    if length == 0:
        raise VerificationError("the file is empty; wanted an etcd database", code="bolt-empty")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _count(Bolt(data, length if size_bytes is None else size_bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What is known of a database without walking through all of it."""

    revision: int
    leases: int
    size_bytes: int


def read_summary(file: IO[bytes]) -> Summary:
    """Read the last revision and count the leases: milliseconds whatever the size. VerificationError as of `read_contents`."""
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise VerificationError("the file is empty; wanted an etcd database", code="bolt-empty")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        bolt = Bolt(data, size)
        revision, leases = 1, 0
        for _, name, value_at, value_size in bolt.pairs(bolt.root):
            if name == b"lease":
                leases = sum(1 for _ in bolt.bucket(value_at, value_size))
            elif name == b"key":
                last = bolt.last_key(value_at, value_size)
                revision = max(1, REVISION.unpack_from(last)[0]) if len(last) >= REVISION.size else 1
        return Summary(revision=revision, leases=leases, size_bytes=size)


class Bolt:
    """The pages of one file."""

    def __init__(self, data: mmap.mmap, size: int) -> None:
        self.data = data
        self.size = size
        if size > len(data):
            raise _broken(f"the file has {len(data)} bytes, wanted {size}")
        self.page_size, self.root, self.high_water = _newest_meta(data, size)
        if self.high_water * self.page_size > size:
            raise _broken(f"{self.high_water} pages of {self.page_size} bytes are announced, and the file has {size} bytes")
        self._seen: set[int] = set()

    def last_key(self, value_offset: int, value_size: int) -> bytes:
        """Return the last key of the bucket whose header is that value; b"" where it is empty."""
        root = _BUCKET.unpack_from(self.data, value_offset)[0] if value_size >= _BUCKET.size else 0
        for _ in range(_MAX_DEPTH):
            if not 1 < root < self.high_water:
                break
            offset = root * self.page_size
            _, flags, count, _ = _PAGE.unpack_from(self.data, offset)
            if not flags & _BRANCH or count == 0:
                break
            _, _, root = _BRANCH_ELEMENT.unpack_from(self.data, offset + _PAGE.size + (count - 1) * _BRANCH_ELEMENT.size)
        else:
            raise _broken(f"the tree is deeper than {_MAX_DEPTH} pages")
        pairs = self.pairs(root) if root else self.bucket(value_offset, value_size)
        last = b""
        for _, key, _, _ in pairs:
            last = key
        return last

    def leaf_pages(self, root: int, depth: int = 0) -> Iterator[tuple[int, int]]:
        """Yield (offset, count) of the leaf pages below page `root`, in key order."""
        if depth > _MAX_DEPTH:
            raise _broken(f"the tree is deeper than {_MAX_DEPTH} pages")
        if not 1 < root < self.high_water or root in self._seen:
            raise _broken(f"page {root} is referred to twice, or does not exist")
        self._seen.add(root)
        offset = root * self.page_size
        page_id, flags, count, overflow = _PAGE.unpack_from(self.data, offset)
        if page_id != root or root + overflow >= self.high_water:
            raise _broken(f"page {root} says that it is page {page_id} with {overflow} more")
        if flags & _LEAF:
            yield offset, count
        elif flags & _BRANCH:
            yield from self._below(offset, count, overflow, depth)
        else:
            raise _broken(f"page {root} is of kind {flags:#x}, wanted a branch or a leaf")

    def _below(self, offset: int, count: int, overflow: int, depth: int) -> Iterator[tuple[int, int]]:
        end = _PAGE.size + count * _BRANCH_ELEMENT.size
        if count == 0 or end > (overflow + 1) * self.page_size:
            raise _broken(f"the branch at {offset} has {count} children")
        for _, _, child in _BRANCH_ELEMENT.iter_unpack(self.data[offset + _PAGE.size : offset + end]):
            yield from self.leaf_pages(child, depth + 1)

    def pairs(self, root: int) -> Iterator[tuple[int, bytes, int, int]]:
        """Yield (flags, key, value offset, value size) of a bucket whose tree begins at page `root`, in key order."""
        yield from self._ordered(self.leaf_pages(root))

    def bucket(self, value_offset: int, value_size: int) -> Iterator[tuple[int, bytes, int, int]]:
        """Yield the pairs of the bucket whose header is that value: a tree of its own, or an inline page."""
        if value_size < _BUCKET.size:
            raise _broken(f"a bucket header of {value_size} bytes")
        root, _ = _BUCKET.unpack_from(self.data, value_offset)
        if root:
            return self.pairs(root)
        inline = value_offset + _BUCKET.size
        if value_size < _BUCKET.size + _PAGE.size:
            raise _broken(f"an inline bucket of {value_size} bytes")
        _, flags, count, _ = _PAGE.unpack_from(self.data, inline)
        if not flags & _LEAF:
            raise _broken(f"an inline bucket of kind {flags:#x}")
        return self._ordered(iter(((inline, count),)))

    def _ordered(self, pages: Iterator[tuple[int, int]]) -> Iterator[tuple[int, bytes, int, int]]:
        data, size, element_size = self.data, self.size, _LEAF_ELEMENT.size
        previous: bytes | None = None
        for offset, count in pages:
            at = offset + _PAGE.size
            if at + count * element_size > size:
                raise _broken(f"the leaf at {offset} has {count} pairs, which is more than the file holds")
            for flags, pos, key_size, value_size in _LEAF_ELEMENT.iter_unpack(data[at : at + count * element_size]):
                key_at = at + pos
                value_at = key_at + key_size
                if value_at + value_size > size:
                    raise _broken(f"a pair of the leaf at {offset} lies outside of the file")
                key = data[key_at:value_at]
                if previous is not None and key <= previous:
                    raise _broken(f"the keys of the leaf at {offset} are out of order")
                previous = key
                yield flags, key, value_at, value_size
                at += element_size


def _newest_meta(data: mmap.mmap, size: int) -> tuple[int, int, int]:
    """Return (page size, root page, number of pages) of the newer of the sound meta pages."""
    found: list[tuple[int, int, int, int]] = []
    for offset in (0, *_PAGE_SIZES):
        if offset + _PAGE.size + _META_PAGE.size > size:
            break
        start = offset + _PAGE.size
        magic, version, page_size, _, root, _, _, pages, transaction, checksum = _META_PAGE.unpack_from(data, start)
        if magic != _MAGIC or version != _FORMAT or checksum != _fnv1a(data[start : start + _META_PAGE.size - 8]):
            continue
        if page_size in _PAGE_SIZES and offset in {0, page_size}:
            found.append((transaction, page_size, root, pages))
    if not found:
        raise _broken("neither of its two meta pages is sound")
    _, page_size, root, pages = max(found)
    return page_size, root, pages


def _fnv1a(content: bytes) -> int:
    digest = 0xCBF29CE484222325
    for byte in content:
        digest = ((digest ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return digest


@dataclass(slots=True)
class _Tally:
    """What is being counted; a scratch pad of `_count`."""

    entries: int = 0
    revision: int = 1
    versions: int = 0
    tombstones: int = 0
    keys: int = 0
    leases: int = 0
    compacted: int = 0
    index: int = 0
    term: int = 0
    members: tuple[StoredMember, ...] = ()


def _count(bolt: Bolt) -> Contents:
    tally = _Tally()
    for flags, name, value_at, value_size in bolt.pairs(bolt.root):
        if not flags & _BUCKET_FLAG:
            raise _broken(f"{name!r} stands beside the buckets")
        pairs = bolt.bucket(value_at, value_size)
        match name:
            case b"key":
                _count_keys(bolt, pairs, tally)
            case b"meta":
                _read_meta(bolt, pairs, tally)
            case b"members":
                _read_members(bolt, pairs, tally)
            case b"lease":
                tally.leases = sum(1 for _ in pairs)
                tally.entries += tally.leases
            case _:
                tally.entries += sum(1 for _ in pairs)
    return Contents(
        revision=tally.revision,
        compacted_revision=tally.compacted,
        keys=tally.keys,
        versions=tally.versions,
        tombstones=tally.tombstones,
        leases=tally.leases,
        consistent_index=tally.index,
        term=tally.term,
        members=tally.members,
        entries=tally.entries,
        size_bytes=bolt.size,
    )


def _count_keys(bolt: Bolt, pairs: Iterator[tuple[int, bytes, int, int]], tally: _Tally) -> None:
    """Count versions and live keys. Revisions come in order, so the last one seen of a key is its state.

    Of each key only its hash is kept: some 60 bytes for a key, whatever its length.
    """
    data = bolt.data
    live: set[int] = set()
    last = b""
    for _, revision, value_at, value_size in pairs:
        if value_size == 0:
            # A revision without a change: `snapshot restore --bump-revision` makes one, at the very end.
            tally.entries += 1
            last = revision
            continue
        key = first_field(data, value_at, value_size)
        length = len(revision)
        if length == 17:
            live.add(hash(key))
        elif length == 18 and revision.endswith(b"t"):
            live.discard(hash(key))
            tally.tombstones += 1
        else:
            raise _broken(f"{revision!r} is no revision")
        tally.versions += 1
        last = revision
    if last:
        tally.revision = max(1, REVISION.unpack_from(last)[0])
    tally.keys = len(live)
    tally.entries += tally.versions


def first_field(data: mmap.mmap, at: int, size: int) -> bytes:
    """Return the key of the stored KeyValue: its field 1, which etcd writes first."""
    if size < 2 or data[at] != 0x0A:
        raise _broken(f"the value at {at} is no key-value message")
    length, start = data[at + 1], at + 2
    if length >= 0x80:
        length, start = _varint(data, at + 1, at + size)
    if start + length > at + size:
        raise _broken(f"the key at {at} is longer than its message")
    return data[start : start + length]


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise _broken(f"the length at {at} never ends")


def _read_meta(bolt: Bolt, pairs: Iterator[tuple[int, bytes, int, int]], tally: _Tally) -> None:
    for _, key, value_at, value_size in pairs:
        tally.entries += 1
        value = bolt.data[value_at : value_at + value_size]
        if key == b"consistent_index" and value_size == 8:
            tally.index = int.from_bytes(value, "big")
        elif key == b"term" and value_size == 8:
            tally.term = int.from_bytes(value, "big")
        elif key == b"finishedCompactRev" and value_size >= 17:
            tally.compacted = REVISION.unpack_from(value)[0]


def _read_members(bolt: Bolt, pairs: Iterator[tuple[int, bytes, int, int]], tally: _Tally) -> None:
    members: list[StoredMember] = []
    for _, key, value_at, value_size in pairs:
        tally.entries += 1
        members.append(_member(key, bolt.data[value_at : value_at + value_size]))
    tally.members = tuple(sorted(members, key=lambda member: member.name))


def _member(key: bytes, value: bytes) -> StoredMember:
    try:
        document: object = json.loads(value)
        member_id = int(key, 16)
    except ValueError as error:
        raise _broken(f"member {key!r} is not as etcd writes it: {error}") from error
    if not isinstance(document, dict):
        raise _broken(f"member {key!r} is not as etcd writes it")
    urls = document.get("peerURLs")
    return StoredMember(
        id=member_id,
        name=str(document.get("name", "")),
        peer_urls=tuple(str(url) for url in urls) if isinstance(urls, list) else (),
    )


def _broken(what: str) -> VerificationError:
    return VerificationError(f"the database is damaged: {what}", code="bolt-damaged")
