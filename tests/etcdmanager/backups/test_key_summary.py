from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from etcdmanager.backups.key_summary import Group, changes, grouped

KEYS = st.text(alphabet="/ab", max_size=8).map(str.encode)
SIZES = st.dictionaries(KEYS, st.integers(0, 100), max_size=20)


def test_keys_are_grouped_like_directories() -> None:
    sizes = {b"/registry/pods/a/1": 5, b"/registry/pods/a/2": 7, b"/registry/secrets/b/1": 1, b"compact_rev_key": 2}

    assert grouped(sizes, b"", depth=2) == (
        Group(prefix=b"/registry/pods/", keys=2, stored_bytes=12),
        Group(prefix=b"/registry/secrets/", keys=1, stored_bytes=1),
        Group(prefix=b"compact_rev_key", keys=1, stored_bytes=2),
    )
    assert [group.prefix for group in grouped(sizes, b"/registry/pods", depth=1)] == [b"/registry/pods/a/"]


@given(SIZES, KEYS, st.integers(1, 4))
def test_every_key_below_the_prefix_is_in_exactly_one_group(sizes: dict[bytes, int], prefix: bytes, depth: int) -> None:
    below = {key: size for key, size in sizes.items() if key.startswith(prefix)}
    groups = grouped(sizes, prefix, depth=depth)

    assert sum(group.keys for group in groups) == len(below)
    assert sum(group.stored_bytes for group in groups) == sum(below.values())
    assert all(group.prefix.startswith(prefix) for group in groups)


@given(st.dictionaries(KEYS, st.binary(max_size=1)), st.dictionaries(KEYS, st.binary(max_size=1)))
def test_applying_the_changes_to_the_earlier_set_gives_the_later(before: dict[bytes, bytes], after: dict[bytes, bytes]) -> None:
    found = changes(before, after, [key for key in before if key in after and before[key] != after[key]])

    patched = {key: value for key, value in before.items() if key not in found.removed}
    patched |= {key: after[key] for key in (*found.added, *found.changed)}
    assert patched == after
    assert found.is_empty == (before == after)
