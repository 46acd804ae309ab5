"""A block of managed lines in /etc/hosts, between two guard lines; all other lines belong to someone else. Pure.

    127.0.0.1 localhost

    # Begin host entries managed by kops - do not edit
    10.0.0.5<TAB>api.internal.example.com kops-controller.internal.example.com
    # End host entries managed by kops

The block stays where it is (two owners that both moved theirs to the end would rewrite the file for ever) and is made
at the end, after one blank line. Files that were damaged are repaired without losing anyone's lines:

    several blocks            become one, in the place of the first
    begin without end         only the guard goes, and lines right after it that name nothing but names of the new block
    end without begin         goes
    lines in a block that     (comments, "address name" without a tab) move behind it
    we would not write

Source: reference protokube.md §4.3. kops' own editor swallows everything after a begin without an end.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet

from agents.errors import InvariantError

KOPS_BEGIN = "# Begin host entries managed by kops - do not edit"
KOPS_END = "# End host entries managed by kops"


def host_lines(records: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return the lines for these names and their addresses: one per address, sorted, its names sorted."""
    names_by_address: dict[str, set[str]] = {}
    for name, addresses in records.items():
        for address in addresses:
            names_by_address.setdefault(address, set()).add(name)
    return tuple(f"{address}\t{' '.join(sorted(names))}" for address, names in sorted(names_by_address.items()))


def replace_block(text: str, *, begin: str, end: str, lines: Sequence[str]) -> str:
    """Return `text` with exactly one block of these lines, or with none and no guards where `lines` is empty.

    A fixpoint: doing it again changes nothing. Lines of others keep their order, bytes and place. InvariantError for
    a line that is not "address<TAB>name name": the next run would take it for someone else's.
    """
    for line in lines:
        if not _is_managed(line):
            raise InvariantError(f"wanted lines as host_lines() makes them, found {line!r}")
    kept, place = _without_blocks(_lines(text), begin=begin, end=end, ours={name for line in lines for name in line.split()[1:]})
    if place is None:
        place = len(kept)
        gap = [""] if kept and kept[-1].strip() else []
    else:
        gap = []
        if not lines and place and not kept[place - 1].strip():
            # The blank line that stands before a block goes with it.
            place -= 1
            del kept[place]
    block = [*gap, begin, *lines, end] if lines else []
    return "".join(f"{line}\n" for line in (*kept[:place], *block, *kept[place:]))


def read_block(text: str, *, begin: str, end: str) -> tuple[str, ...] | None:
    """Return the lines of the only, whole block in `text`; None where there is none or the file needs repair."""
    lines = [line.strip() for line in _lines(text)]
    if lines.count(begin) != 1 or lines.count(end) != 1 or lines.index(begin) > lines.index(end):
        return None
    return tuple(_lines(text)[lines.index(begin) + 1 : lines.index(end)])


def _without_blocks(old: Sequence[str], *, begin: str, end: str, ours: AbstractSet[str]) -> tuple[list[str], int | None]:
    """Return everyone else's lines, and before which of them the first block stood; None where there was none."""
    kept: list[str] = []
    place: int | None = None
    index = 0
    while index < len(old):
        length, foreign = _managed_length(old, index, begin=begin, end=end, ours=ours)
        if place is None and old[index].strip() == begin:
            place = len(kept)
        kept.extend(foreign if length else [old[index]])
        index += length or 1
    return kept, place


def _managed_length(old: Sequence[str], start: int, *, begin: str, end: str, ours: AbstractSet[str]) -> tuple[int, list[str]]:
    """Return how many lines from `start` on are guards or guarded, and which of them are someone else's after all."""
    guard = old[start].strip()
    if guard == end:
        return 1, []
    if guard != begin:
        return 0, []
    following = [line.strip() for line in old[start + 1 :]]
    inside = next((count for count, line in enumerate(following) if line in {begin, end}), None)
    if inside is not None and following[inside] == end:
        return inside + 2, [line for line in old[start + 1 : start + 1 + inside] if line.strip() and not _is_managed(line)]
    stale = 0
    while start + 1 + stale < len(old) and _is_managed(old[start + 1 + stale]) and ours >= set(old[start + 1 + stale].split()[1:]):
        stale += 1
    return 1 + stale, []


def _is_managed(line: str) -> bool:
    address, tab, names = line.partition("\t")
    if not tab or not names or any(not name for name in names.split(" ")) or names != names.strip() or "\t" in names:
        return False
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines
