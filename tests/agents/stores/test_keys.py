from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import SpecError
from agents.stores.keys import LONGEST_KEY_BYTES, check_key, check_prefix, joined


@given(st.text())
def test_a_key_that_is_accepted_never_leads_out_of_its_directory(key: str) -> None:
    try:
        check_key(key)
    except SpecError:
        return
    path = PurePosixPath("/root") / key
    assert path.is_relative_to("/root")
    assert path != PurePosixPath("/root")
    assert ".." not in path.parts
    assert str(path) == f"/root/{key}"  # nothing was normalised away: one blob has one name
    assert len(key.encode()) <= LONGEST_KEY_BYTES


@given(st.lists(st.from_regex(r"[A-Za-z0-9:._-]*[A-Za-z0-9:_-]", fullmatch=True), min_size=1, max_size=5))
def test_ordinary_names_are_accepted(components: list[str]) -> None:
    key = "/".join(component for component in components if not component.startswith(".")) or "a"

    assert check_key(key) == key


def test_the_message_says_what_is_wrong_and_what_was_wanted() -> None:
    with pytest.raises(SpecError, match=r"'a/\.\./b' has a component '\.' or '\.\.'; a key is a relative path"):
        check_key("a/../b")


def test_a_prefix_may_be_empty() -> None:
    assert check_prefix("") == ""
    with pytest.raises(SpecError):
        check_prefix("/")


@given(st.text(), st.text(), st.text())
def test_joining_is_associative(a: str, b: str, c: str) -> None:
    assert joined(joined(a, b), c) == joined(a, joined(b, c))
