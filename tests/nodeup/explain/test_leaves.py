from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodeup.explain.leaves import leaves, others, with_value, without

SCALAR = st.booleans() | st.integers() | st.text(max_size=4)
DOCUMENT = st.dictionaries(
    st.text(min_size=1, max_size=3),
    st.recursive(
        SCALAR,
        lambda inner: st.lists(inner, min_size=1, max_size=2) | st.dictionaries(st.text(min_size=1, max_size=3), inner, max_size=2),
        max_leaves=6,
    ),
    max_size=3,
)


def test_lists_of_scalars_and_empty_mappings_are_leaves() -> None:
    document = {"a": {"b": [1, 2], "c": {}}, "hooks": [{"name": "x"}], "none": None}

    assert [(leaf.text, leaf.value) for leaf in leaves(document)] == [("a.b", [1, 2]), ("a.c", {}), ("hooks[0].name", "x")]


@given(document=DOCUMENT)
def test_every_leaf_can_be_taken_away_and_changed_and_nothing_else_is_touched(document: dict[str, object]) -> None:
    for leaf in leaves(document):
        assert with_value(document, leaf.path, leaf.value) == document
        assert without(document, leaf.path) != document
        for other in others(leaf.value):
            assert other != leaf.value
            changed = with_value(document, leaf.path, other)
            assert changed != document
            assert with_value(changed, leaf.path, leaf.value) == document


def test_other_values_are_of_the_same_kind() -> None:
    assert others("1.34.0")[:2] == ("1.35.0", "1.33.0")
    assert others("10.0.0.0/8")[0] == "10.203.0.0/16"
    assert others("fd00::1")[0] == "fd00:203::9"
    assert others("150m")[0] == "151m"
    assert others("true")[0] == "false"
    assert others("cluster.local") == ("cluster.local-explained",)
    assert others(["a"]) == (["a", "a-explained"],)
    assert others({}) == ()


def test_a_missing_way_is_made() -> None:
    assert with_value({}, ("a", "b"), 1) == {"a": {"b": 1}}
