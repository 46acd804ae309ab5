"""What a set of keys is, grouped as a directory listing would be, and how two sets differ; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Keys with a common beginning."""

    #: Ends with "/" where it stands for several keys.
    prefix: bytes
    keys: int
    stored_bytes: int


def grouped(sizes: Mapping[bytes, int], prefix: bytes, *, depth: int) -> tuple[Group, ...]:
    """Group the keys that begin with `prefix` by the next `depth` parts between slashes, in order of their names.

    Each key is in exactly one group, so the groups' figures add up to those of all.
    """
    found: dict[bytes, tuple[int, int]] = {}
    for key, size in sizes.items():
        if key.startswith(prefix):
            name = _beginning(key, len(prefix), depth)
            keys, stored = found.get(name, (0, 0))
            found[name] = (keys + 1, stored + size)
    return tuple(Group(prefix=name, keys=keys, stored_bytes=stored) for name, (keys, stored) in sorted(found.items()))


def _beginning(key: bytes, start: int, depth: int) -> bytes:
    at = start
    if key[at : at + 1] == b"/":
        at += 1
    for _ in range(depth):
        slash = key.find(b"/", at)
        if slash < 0:
            return key
        at = slash + 1
    return key[:at]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How a later set of keys differs from an earlier one; each in order."""

    added: tuple[bytes, ...]
    removed: tuple[bytes, ...]
    changed: tuple[bytes, ...]

    @property
    def is_empty(self) -> bool:
        """Whether they are the same."""
        return not (self.added or self.removed or self.changed)


def changes(before: Iterable[bytes], after: Iterable[bytes], changed: Iterable[bytes]) -> Changes:
    """Return how two sets of keys differ; `changed` are those of both whose value is another."""
    old, new = set(before), set(after)
    return Changes(added=tuple(sorted(new - old)), removed=tuple(sorted(old - new)), changed=tuple(sorted(set(changed) & old & new)))
