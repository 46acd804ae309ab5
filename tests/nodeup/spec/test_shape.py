"""Checking a whole document against what it may hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodeup.spec.fields import nodeup_config_shape
from nodeup.spec.shape import TEXT_MAP, TEXTS, Fields, Findings, ListOf, Scalar, check

SHAPE = Fields(
    {"name": Scalar.TEXT, "port": Scalar.NUMBER, "tags": TEXTS, "labels": TEXT_MAP, "items": ListOf(Fields({"on": Scalar.BOOLEAN}))}
)


def test_a_right_document_has_no_findings() -> None:
    document = {"name": "x", "port": 1, "tags": ["a"], "labels": {"k": "v"}, "items": [{"on": True}]}
    assert check(document, SHAPE) == Findings((), ())


def test_all_problems_come_out_at_once_with_their_paths() -> None:
    findings = check({"port": "x", "tags": "a", "items": [{"on": 1}, "y"], "labels": {"k": []}}, SHAPE)
    assert [problem.partition(":")[0] for problem in findings.problems] == ["port", "tags", "items[0].on", "items[1]", "labels.k"]


def test_unknown_fields_are_reported_and_are_no_problem() -> None:
    assert check({"nmae": "x", "items": [{"of": True}]}, SHAPE) == Findings((), ("nmae", "items[0].of"))


def test_keys_are_known_in_any_case() -> None:
    assert check({"NAME": "x", "Port": 1}, SHAPE) == Findings((), ())


def test_null_is_right_everywhere() -> None:
    assert check({"name": None, "tags": None, "items": [None]}, SHAPE) == Findings((), ())
    assert check(None, SHAPE) == Findings((), ())


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["ClusterName", "Hooks", "CAs", "KubeletConfig", "x"]), inner)
    ),
    max_leaves=20,
)


@given(DOCUMENTS)
def test_any_document_gets_an_answer(document: object) -> None:
    findings = check(document, nodeup_config_shape())
    assert all(isinstance(text, str) for text in findings.problems + findings.unknown)
