"""YAML as Go understands it, JSON, and narrowing."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.documents import as_bool, as_int, as_list, as_mapping, as_str, dump_json, dump_yaml, load_json, load_yaml, load_yaml_all
from agents.errors import InvariantError, SpecError
from agents.go_yaml import float_text, key_order, plain_scalar
from agents.secret import Secret

#: Text of an unquoted scalar, and what sigs.k8s.io/yaml makes of it.
SCALARS: dict[str, object] = {
    "12:30:45": "12:30:45",
    "190:20:30.15": "190:20:30.15",
    "2001-01-01": "2001-01-01",
    "2026-08-22T22:42:27Z": "2026-08-22T22:42:27Z",
    "1e3": 1000.0,
    "1E-2": 0.01,
    "1.30": 1.3,
    ".5": 0.5,
    "5.": 5.0,
    "089": 89.0,
    "0755": 0o755,
    "0o755": 0o755,
    "0x1F": 31,
    "0b101": 5,
    "-0b11": -3,
    "1_000": 1000,
    "+7": 7,
    "-7": -7,
    "0": 0,
    "18446744073709551615": 2**64 - 1,
    "18446744073709551616": 2.0**64,
    "-9223372036854775808": -(2**63),
    "1e999": "1e999",
    "1.2.3": "1.2.3",
    "10.0.0.1": "10.0.0.1",
    "10.0.0.0/8": "10.0.0.0/8",
    "+": "+",
    "-": "-",
    ".": ".",
    "1-2": "1-2",
    "0x": "0x",
    "yes": True,
    "Yes": True,
    "YES": True,
    "yEs": "yEs",
    "on": True,
    "y": True,
    "Y": True,
    "true": True,
    "no": False,
    "Off": False,
    "n": False,
    "N": False,
    "null": None,
    "Null": None,
    "~": None,
    "": None,
    "=": "=",
    "None": "None",
    "nan": "nan",
    "5m0s": "5m0s",
    "100Mi": "100Mi",
}


@pytest.mark.parametrize(("text", "expected"), [pair for pair in SCALARS.items() if pair[0] != "-"], ids=repr)
def test_scalars_mean_what_they_mean_to_go(text: str, expected: object) -> None:
    found = load_yaml(f"key: {text}\n", where="test")
    assert isinstance(found, dict)
    assert (found["key"], type(found["key"])) == (expected, type(expected))


@pytest.mark.parametrize("text", list(SCALARS))
def test_in_quotes_everything_is_text(text: str) -> None:
    assert load_yaml(f"'{text}'", where="test") == text
    assert load_yaml(f'"{text}"', where="test") == text


def test_keys_become_text() -> None:
    assert load_yaml("{1: a, yes: b, 1.50: c, 'x': d}", where="test") == {"1": "a", "true": "b", "1.5": "c", "x": "d"}


def test_explicit_tags_and_merge_keys_work() -> None:
    assert load_yaml("a: !!str 5\nb: !!float 3\nc: !!timestamp 2001-01-01", where="test") == {"a": "5", "b": 3.0, "c": "2001-01-01"}
    assert load_yaml("a: &a {x: 1, y2: 2}\nb: {<<: *a, x: 3}", where="test") == {"a": {"x": 1, "y2": 2}, "b": {"x": 3, "y2": 2}}


def test_of_a_key_that_stands_twice_the_last_counts_and_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert load_yaml("a: 1\nb: 2\na: 3\n", where="test") == {"a": 3, "b": 2}
    assert "line 3: key 'a' stands twice" in caplog.text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\n b: 2\n", "line 2"),
        ("a: [1, 2\n", "line 2"),
        ("a: 1\nb: *unknown\n", "line 2"),
        ("a: 1\nb: !python/object:os.system x\n", "line 2"),
        ("a: &a\n- *a\n", "line"),
        ("a: 1\n? [x]\n: y\n", "line 2"),
        ("a: 1\nb: .inf\n", "line 2"),
        ("a: !!int text\n", "line 1"),
        ("a: \x01\n", ""),
        ("a: 1\n---\nb: 2\n", "found 2"),
    ],
    ids=["indent", "unclosed", "alias", "tag", "cycle", "complex-key", "infinite", "wrong-tag", "control", "two-documents"],
)
def test_what_is_no_yaml_is_the_operators_error_with_its_line(text: str, line: str) -> None:
    with pytest.raises(SpecError, match="the file") as caught:
        load_yaml(text, where="the file")
    assert line in str(caught.value)


def test_bytes_that_are_no_text_are_the_operators_error() -> None:
    with pytest.raises(SpecError, match="not UTF-8"):
        load_yaml(b"\x1f\x8b\x08\x00", where="test")


def test_documents_come_one_by_one_without_the_empty_ones() -> None:
    assert load_yaml_all("---\na: 1\n---\n---\n# only a comment\n---\nb: 2\n", where="test") == ({"a": 1}, {"b": 2})
    assert load_yaml("", where="test") is None
    assert load_yaml("\ufeffa: 1\n---\n", where="test") == {"a": 1}


def test_yaml_is_written_as_go_writes_it() -> None:
    document = {
        "b": ["y", "1", 1.0, None, True, "a: b", "", "12:30:00", "2001-01-01", "text", 1e21],
        "a10": "first\nsecond\n",
        "a2": {},
        "A": [{"q": 1, "p": [1]}],
    }
    assert dump_yaml(document) == (
        "A:\n- p:\n  - 1\n  q: 1\na2: {}\na10: |\n  first\n  second\nb:\n"
        '- "y"\n- "1"\n- 1\n- null\n- true\n- \'a: b\'\n- ""\n- "12:30:00"\n- "2001-01-01"\n- text\n- 1e+21\n'
    )


def test_keys_may_keep_their_order_and_long_lines_are_not_folded() -> None:
    assert dump_yaml({"b": "word " * 50 + "end", "a": 1}, sort_keys=False) == f"b: {'word ' * 50}end\na: 1\n"


def test_a_secret_is_never_written() -> None:
    for dump in (dump_yaml, dump_json):
        with pytest.raises(InvariantError):
            dump({"key": Secret("geheim")})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.5, "-0.5"),
        (1.3, "1.3"),
        (100000.0, "100000"),
        (1e6, "1e+06"),
        (1234567.5, "1.2345675e+06"),
        (0.0001, "0.0001"),
        (1e-5, "1e-05"),
    ],
)
def test_floats_become_text_as_in_go(value: float, text: str) -> None:
    assert float_text(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_float_is_the_float(value: float) -> None:
    assert float(float_text(value)) == value


texts = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"))
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(documents)
def test_yaml_that_is_written_is_read_back(document: object) -> None:
    assert load_yaml(dump_yaml(document), where="test") == document


@given(documents)
def test_json_is_read_back_and_is_yaml_as_well(document: object) -> None:
    assert load_json(dump_json(document), where="test") == document


@given(st.text())
def test_any_text_is_a_document_or_the_operators_error(text: str) -> None:
    with contextlib.suppress(SpecError):
        assert None not in load_yaml_all(text, where="test")


@given(st.text(min_size=1))
def test_every_scalar_means_something(text: str) -> None:
    assert isinstance(plain_scalar(text), bool | int | float | str | None)


def test_keys_stand_as_go_sorts_them() -> None:
    assert sorted(["a10", "b", "a2", "a_b", "aB", "A", "a-b", "a", "a01", "a1"], key=key_order) == [
        "A", "a", "a-b", "a_b", "a01", "a1", "a2", "a10", "aB", "b",
    ]  # fmt: skip


keys = st.text(alphabet="aZ01209-_./")


@given(keys, keys)
def test_no_two_keys_share_a_place(first: str, second: str) -> None:
    assert (key_order(first) == key_order(second)) is (first == second)


@pytest.mark.parametrize(
    ("text", "where"), [("{", "line 1 column 2"), ('{"a": NaN}', "NaN"), (b"\xff", "UTF-8")], ids=["cut", "nan", "bytes"]
)
def test_what_is_no_json_is_the_operators_error(text: str | bytes, where: str) -> None:
    with pytest.raises(SpecError, match=where):
        load_json(text, where="test")


def test_null_is_an_empty_mapping_and_an_empty_list() -> None:
    assert as_mapping(None, where="x") == {}
    assert as_list(None, where="x") == []


def test_a_number_where_text_is_wanted_is_its_text_as_in_go() -> None:
    assert [as_str(value, where="x") for value in (8080, True, 1.3, "t")] == ["8080", "true", "1.3", "t"]
    assert as_int(1000.0, where="x") == 1000


@pytest.mark.parametrize(
    ("narrow", "document", "message"),
    [
        (as_mapping, [1], "spec.x: wanted a mapping, found a list of 1 items"),
        (as_list, "text", "spec.x: wanted a list, found the text 'text'"),
        (as_str, None, "spec.x: wanted text, found nothing"),
        (as_int, 1.5, "spec.x: wanted an integer, found the number 1.5"),
        (as_int, True, "spec.x: wanted an integer, found the boolean true"),
        (as_bool, "yes", "spec.x: wanted true or false, found the text 'yes'"),
    ],
    ids=["mapping", "list", "text", "integer", "integer-from-boolean", "boolean"],
)
def test_the_wrong_type_is_said_with_its_place(narrow: object, document: object, message: str) -> None:
    assert callable(narrow)
    with pytest.raises(SpecError) as caught:
        narrow(document, where="spec.x")
    assert str(caught.value) == message


def test_files_that_kops_wrote_are_written_back_byte_for_byte() -> None:
    reference = Path(os.environ.get("NODE_AGENTS_REFERENCE", "/tmp/ref"))
    paths = sorted([*reference.glob("metal.k8s.local/instancegroup/*"), reference / "metal.k8s.local/cluster-completed.spec"])
    if not all(path.is_file() for path in paths):
        pytest.skip(f"no reference state store at {reference} (NODE_AGENTS_REFERENCE)")
    for path in paths:
        assert dump_yaml(load_yaml(path.read_bytes(), where=str(path))) == path.read_text()
