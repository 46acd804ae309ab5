"""The managed block in /etc/hosts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import InvariantError
from agents.hosts_file import KOPS_BEGIN, KOPS_END, host_lines, read_block, replace_block

LINES = ("10.0.0.5\tapi.internal kops-controller.internal", "10.0.0.6\tapi.internal")
BLOCK = f"{KOPS_BEGIN}\n{LINES[0]}\n{LINES[1]}\n{KOPS_END}\n"


def _replace(text: str, lines: tuple[str, ...] = LINES) -> str:
    return replace_block(text, begin=KOPS_BEGIN, end=KOPS_END, lines=lines)


CASES = {
    "an-empty-file": ("", BLOCK),
    "a-new-block-comes-after-one-blank-line": ("127.0.0.1 localhost\n", f"127.0.0.1 localhost\n\n{BLOCK}"),
    "no-second-blank-line": ("127.0.0.1 localhost\n\n", f"127.0.0.1 localhost\n\n{BLOCK}"),
    "no-newline-at-the-end": ("127.0.0.1 localhost", f"127.0.0.1 localhost\n\n{BLOCK}"),
    "the-block-stays-in-its-place": (f"a\n\n{KOPS_BEGIN}\n1.1.1.1\told\n{KOPS_END}\nb\n", f"a\n\n{BLOCK}b\n"),
    "two-blocks-become-one-in-the-place-of-the-first": (f"a\n{BLOCK}b\n{BLOCK}c\n", f"a\n{BLOCK}b\nc\n"),
    "begin-without-end-keeps-the-lines-of-others": (f"{KOPS_BEGIN}\n8.8.8.8 dns\nb\n", f"{BLOCK}8.8.8.8 dns\nb\n"),
    "begin-without-end-drops-stale-lines-about-our-names": (
        f"{KOPS_BEGIN}\n9.9.9.9\tapi.internal\n8.8.8.8\tapi.internal dns\n",
        f"{BLOCK}8.8.8.8\tapi.internal dns\n",
    ),
    "begin-twice": (f"{KOPS_BEGIN}\nuser line\n{BLOCK}", f"{BLOCK}user line\n"),
    "end-without-begin-goes": (f"a\n{KOPS_END}\nb\n", f"a\nb\n\n{BLOCK}"),
    "lines-that-we-would-not-write-move-behind": (
        f"{KOPS_BEGIN}\n# mine\n1.1.1.1\told\n1.2.3.4 mine\n\n{KOPS_END}\n",
        f"{BLOCK}# mine\n1.2.3.4 mine\n",
    ),
    "guards-may-have-spaces-around": (f"  {KOPS_BEGIN}\t\n1.1.1.1\told\n{KOPS_END} \n", BLOCK),
}


@pytest.mark.parametrize(("before", "after"), CASES.values(), ids=CASES.keys())
def test_the_block_is_replaced_and_damage_is_repaired(before: str, after: str) -> None:
    assert _replace(before) == after


def test_without_lines_the_block_goes_with_its_blank_line() -> None:
    assert _replace(f"127.0.0.1 localhost\n\n{BLOCK}last\n", ()) == "127.0.0.1 localhost\nlast\n"


def test_two_owners_do_not_push_each_other_around() -> None:
    def replace_theirs(text: str) -> str:
        return replace_block(text, begin="# Begin etcd", end="# End etcd", lines=("10.0.0.9\tetcd-a",))

    both = replace_theirs(_replace("a\n"))
    assert _replace(both) == both
    assert replace_theirs(_replace(both)) == both


def test_the_block_is_read_back_and_a_damaged_one_is_not() -> None:
    assert read_block(f"a\n{BLOCK}b\n", begin=KOPS_BEGIN, end=KOPS_END) == LINES
    for damaged in ("a\n", f"{BLOCK}{BLOCK}", f"{KOPS_END}\n{KOPS_BEGIN}\n", f"{KOPS_BEGIN}\n"):
        assert read_block(damaged, begin=KOPS_BEGIN, end=KOPS_END) is None


def test_lines_are_one_per_address_and_sorted() -> None:
    assert host_lines({"b": ["10.0.0.2", "10.0.0.10"], "a": ["10.0.0.2"]}) == ("10.0.0.10\tb", "10.0.0.2\ta b")


@pytest.mark.parametrize("line", ["10.0.0.1 name", "name\tname", KOPS_END, "10.0.0.1\t", "10.0.0.1\ta\tb"])
def test_a_line_that_would_not_be_recognised_again_is_a_bug(line: str) -> None:
    with pytest.raises(InvariantError):
        _replace("", (line,))


user_lines = st.sampled_from(["127.0.0.1 localhost", "# comment", "10.0.0.7 user.example", "", "::1 ip6-localhost"])
managed_lines = st.sampled_from([*LINES, "1.1.1.1\told", "fe80::1\told older"])
any_files = st.lists(st.one_of(user_lines, managed_lines, st.sampled_from([KOPS_BEGIN, KOPS_END]), st.text(max_size=5))).map("\n".join)
our_lines = st.sampled_from([(), LINES, LINES[:1]])


@given(any_files, our_lines)
def test_replacing_twice_is_replacing_once(text: str, lines: tuple[str, ...]) -> None:
    once = _replace(text, lines)
    assert _replace(once, lines) == once


@given(any_files, our_lines)
def test_afterwards_there_is_exactly_the_block_that_was_asked_for(text: str, lines: tuple[str, ...]) -> None:
    assert read_block(_replace(text, lines), begin=KOPS_BEGIN, end=KOPS_END) == (lines or None)


@given(any_files, our_lines)
def test_no_line_of_a_user_is_ever_lost(text: str, lines: tuple[str, ...]) -> None:
    def users(content: str) -> list[str]:
        return sorted(line for line in content.split("\n") if line.strip() and "\t" not in line and line not in {KOPS_BEGIN, KOPS_END})

    assert users(_replace(text, lines)) == users(text)
