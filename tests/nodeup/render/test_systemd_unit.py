"""Unit files and the command lines in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeup.render.systemd_unit import UnitSection, escape_command, render_unit, unit_name


def test_sections_keep_their_order_and_settings_may_repeat() -> None:
    unit = render_unit(
        UnitSection(name="Unit", settings=(("Description", "test"),)),
        UnitSection(name="Service", settings=(("EnvironmentFile", "/etc/a"), ("EnvironmentFile", "/etc/b"), ("ExecStart", ""))),
    )
    assert unit == "[Unit]\nDescription=test\n\n[Service]\nEnvironmentFile=/etc/a\nEnvironmentFile=/etc/b\nExecStart=\n"


def test_what_an_operator_wrote_is_taken_over_verbatim_before_our_settings() -> None:
    section = UnitSection(name="Service", verbatim="run the command\nin this manifest\n", settings=(("key", "pair"),))
    assert render_unit(section) == "[Service]\nrun the command\nin this manifest\nkey=pair\n"


def test_a_missing_newline_at_the_end_of_an_operators_text_stays_missing() -> None:
    assert render_unit(UnitSection(name="Service", verbatim="Type=oneshot")) == "[Service]\nType=oneshot"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["/usr/bin/ctr", "pull", "busybox:latest"], "/usr/bin/ctr pull busybox:latest"),
        (["--env", "B=x y"], '--env "B=x y"'),
        (["a'b", 'c"d', "e\\f"], "a\\'b c\\\"d e\\\\f"),
        (["$HOME", "%h", "C=100%"], "$HOME %h C=100%"),
    ],
)
def test_a_command_line_is_escaped_as_kops_does_it(argv: list[str], line: str) -> None:
    assert escape_command(argv) == line


def _read_by_systemd(line: str) -> list[str]:
    """Split a command line as systemd.syntax(7) describes quoting, for double quotes and backslashes only."""
    words: list[str] = []
    word: str | None = None
    quoted = False
    letters = iter(line)
    for letter in letters:
        if letter == "\\":
            word = (word or "") + next(letters)
        elif letter == '"':
            quoted, word = not quoted, word or ""
        elif letter == " " and not quoted:
            words, word = [*words, word] if word is not None else words, None
        else:
            word = (word or "") + letter
    return [*words, word] if word is not None else words


@given(st.lists(st.text(st.sampled_from("ab \\\"'$%"), min_size=1)))
def test_systemd_reads_back_the_arguments_that_were_escaped(argv: list[str]) -> None:
    assert _read_by_systemd(escape_command(argv)) == argv


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [("x", "x.service"), ("x.timer", "x.timer"), ("x.not-valid", "x.not-valid.service"), ("a.b.mount", "a.b.mount")],
)
def test_a_unit_name_without_a_suffix_is_a_service(given_name: str, expected: str) -> None:
    assert unit_name(given_name) == expected
