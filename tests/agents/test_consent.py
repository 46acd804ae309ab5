"""Consent: what flags and a terminal allow, and which word is enough."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agents.cli import Parser, common_options
from agents.consent import Consent, ask, consent, consent_options, is_plan_only
from agents.errors import RefusedError

CLUSTER = "prod.example.com"


def given(*words: str, subject: str = "that is changed") -> argparse.Namespace:
    parser = Parser(prog="verb")
    common_options(parser)
    consent_options(parser, subject=subject)
    return parser.parse_args(words)


@contextmanager
def terminal() -> Iterator[int]:
    """Make stdin and stdout a real terminal; the number is the operator's side of it."""
    operator, program = os.openpty()
    with (
        os.fdopen(program, encoding="utf-8") as typed,
        os.fdopen(program, "w", encoding="utf-8", closefd=False) as shown,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "stdin", typed)
        patch.setattr(sys, "stdout", shown)
        yield operator
    os.close(operator)


@pytest.mark.parametrize("words", [(), ("--cluster", CLUSTER), ("--plan",), ("--plan", "--yes", "--cluster", CLUSTER)])
def test_without_a_terminal_it_is_a_plan(words: tuple[str, ...]) -> None:
    assert consent(given(*words), CLUSTER) is Consent.PLAN
    assert is_plan_only(given(*words))


def test_yes_with_the_name_is_enough_without_a_terminal() -> None:
    assert consent(given("--yes", "--cluster", CLUSTER), CLUSTER) is Consent.GIVEN


@pytest.mark.parametrize("words", [(), ("--cluster", "prod"), ("--cluster", f"{CLUSTER} ")])
@pytest.mark.parametrize("plan", [(), ("--plan",)])
def test_yes_without_the_right_name_is_refused_and_says_the_name(words: tuple[str, ...], plan: tuple[str, ...]) -> None:
    with pytest.raises(RefusedError, match=f"--yes needs --cluster {CLUSTER}, found .*; nothing was changed"):
        consent(given("--yes", *plan, *words), CLUSTER)


def test_where_no_cluster_has_to_be_named_yes_is_enough() -> None:
    assert consent(given("--yes", subject="")) is Consent.GIVEN
    assert consent(given(subject="")) is Consent.PLAN
    assert not hasattr(given(subject=""), "cluster")


def test_a_terminal_is_asked_and_one_that_wants_json_is_not() -> None:
    with terminal():
        assert consent(given(), CLUSTER) is Consent.ASK
        assert consent(given("--cluster", CLUSTER), CLUSTER) is Consent.ASK, "a name on the command line does not stand for the typed one"
        assert consent(given("--json"), CLUSTER) is Consent.PLAN
        assert consent(given("--plan"), CLUSTER) is Consent.PLAN
        assert consent(given("--yes", "--cluster", CLUSTER), CLUSTER) is Consent.GIVEN


@pytest.mark.parametrize(("cluster", "word"), [(CLUSTER, CLUSTER), ("", "yes")])
def test_the_right_word_is_enough(cluster: str, word: str) -> None:
    with terminal() as operator:
        os.write(operator, f"{word}\n".encode())

        ask(cluster)

        assert b"Type " in os.read(operator, 4096)


@pytest.mark.parametrize(
    ("cluster", "typed"),
    [(CLUSTER, b"y\n"), (CLUSTER, b"yes\n"), (CLUSTER, b"\n"), (CLUSTER, b"\x04"), ("", b"y\n"), ("", b"\x04")],
)
def test_any_other_word_and_the_end_of_input_change_nothing(cluster: str, typed: bytes) -> None:
    with terminal() as operator:
        os.write(operator, typed)

        with pytest.raises(RefusedError, match="nothing was changed"):
            ask(cluster)
