"""The TOML writer: containerd's layout, and text that any TOML reader reads back."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from nodeup.render.toml import TomlTree, TomlValue, render_toml

_SCALARS: st.SearchStrategy[TomlValue] = st.text() | st.integers(-(2**63), 2**63 - 1) | st.booleans()


def _trees() -> st.SearchStrategy[TomlTree]:
    values = st.recursive(_SCALARS, lambda inner: st.dictionaries(st.text(), inner, max_size=4), max_leaves=20)
    return st.dictionaries(st.text(), values, max_size=5)


@given(_trees())
def test_a_toml_reader_reads_back_what_was_written(tree: TomlTree) -> None:
    assert tomllib.loads(render_toml(tree)) == tree


@given(_trees())
def test_the_order_in_which_a_tree_was_built_does_not_show(tree: TomlTree) -> None:
    assert render_toml(dict(reversed(list(tree.items())))) == render_toml(tree)


def test_values_stand_before_tables_and_levels_are_indented() -> None:
    tree: TomlTree = {"plugins": {"a.b/c": {"deep": {"on": True, "name": "x"}, "size": 3}}, "version": 4}
    assert render_toml(tree) == (
        'version = 4\n\n[plugins]\n\n  [plugins."a.b/c"]\n    size = 3\n\n    [plugins."a.b/c".deep]\n      name = "x"\n      on = true\n'
    )


def test_a_tree_without_values_of_its_own_starts_with_the_blank_line_before_its_first_table() -> None:
    assert render_toml({"runsc_config": {"platform": "kvm"}}) == '\n[runsc_config]\n  platform = "kvm"\n'
