"""Secrets stay secret."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest

from agents.secret import Secret


def test_no_text_form_shows_it() -> None:
    secret = Secret("geheim")
    for text in (str(secret), repr(secret), f"{secret}", f"{secret!s:>20}", f"{[secret]}", "%s" % secret):  # noqa: UP031
        assert "geheim" not in text
    with pytest.raises(TypeError) as caught:
        pickle.dumps(secret)
    assert "geheim" not in "".join(traceback.format_exception(caught.value))


def test_it_equals_only_a_secret_with_the_same_bytes() -> None:
    assert Secret("a") == Secret(b"a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")
    with pytest.raises(TypeError):
        copy.deepcopy(Secret("a"))
