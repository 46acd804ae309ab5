"""Documents to dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decode import decode
from agents.errors import SpecError
from agents.secret import Secret


class Color(Enum):
    RED = "red"
    GREEN = "green"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    name: str
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    cluster_name: str
    cluster_dns: str = ""
    enabled: bool | None = None
    ratio: float = 0.0
    color: Color = Color.RED
    parts: tuple[Part, ...] = ()
    by_name: Mapping[str, Part] = field(default_factory=dict)
    main: Part | None = None
    material: bytes = b""
    token: Secret | None = None
    created: datetime | None = None
    timeout: timedelta = timedelta()
    kind_of: str = field(default="", metadata={"key": "@type"})
    rest: object = None


DOCUMENT: dict[str, object] = {
    "clusterName": "example.com",
    "clusterDNS": "100.64.0.10",
    "enabled": False,
    "ratio": 1,
    "color": "green",
    "parts": [{"name": "a", "sizeBytes": 1e3}, {"NAME": "b"}],
    "byName": {"x_y": {"name": "c"}},
    "main": {"name": 8080},
    "material": "Z2Vo\nZWlt",
    "token": "t",
    "created": "2026-08-22T00:00:00Z",
    "timeout": "1m30s",
    "@type": "thing",
    "rest": {"kept": ["as", "it", "is"]},
}


def test_every_type_is_decoded() -> None:
    assert decode(Spec, DOCUMENT, where="test").value == Spec(
        cluster_name="example.com",
        cluster_dns="100.64.0.10",
        enabled=False,
        ratio=1.0,
        color=Color.GREEN,
        parts=(Part(name="a", size_bytes=1000), Part(name="b")),
        by_name={"x_y": Part(name="c")},
        main=Part(name="8080"),
        material=b"geheim",
        token=Secret("t"),
        created=datetime(2026, 8, 22, tzinfo=UTC),
        timeout=timedelta(seconds=90),
        kind_of="thing",
        rest={"kept": ["as", "it", "is"]},
    )


def test_null_is_not_given() -> None:
    assert decode(Spec, {"clusterName": "a", "parts": None, "timeout": None, "enabled": None}, where="test").value == Spec(cluster_name="a")


def test_the_exact_spelling_of_a_key_wins() -> None:
    for document in ({"clusterName": "exact", "CLUSTERNAME": "other"}, {"CLUSTERNAME": "other", "clusterName": "exact"}):
        assert decode(Spec, document, where="test").value.cluster_name == "exact"


def test_what_the_type_does_not_know_is_reported_with_its_path() -> None:
    document = {"clusterName": "a", "new": 1, "parts": [{"name": "b"}, {"name": "c", "newer": {}}]}
    assert decode(Spec, document, where="test").unknown == ("new", "parts[1].newer")


def test_all_problems_are_said_at_once_with_their_paths() -> None:
    document = {
        "enabled": "yes",
        "color": "blue",
        "parts": [{"sizeBytes": "many"}, "text"],
        "main": {},
        "material": "geheim!",
        "timeout": "soon",
        "byName": {"x": {"name": ["a"]}},
    }
    with pytest.raises(SpecError) as caught:
        decode(Spec, document, where="kube_env.yaml")
    assert str(caught.value).split("\n") == [
        "kube_env.yaml: 10 problems",
        "  enabled: wanted true or false, found the text 'yes'",
        "  color: wanted one of red, green, found the text 'blue'",
        "  parts[0].sizeBytes: wanted an integer, found the text 'many'",
        "  parts[0].name: missing",
        "  parts[1]: wanted a mapping, found the text 'text'",
        "  main.name: missing",
        "  material: wanted base64, found something else",
        "  timeout: wanted a duration such as 1h30m0s, found 'soon'",
        "  byName.x.name: wanted text, found a list of 1 items",
        "  clusterName: missing",
    ]


def test_a_document_that_is_no_mapping_is_one_problem() -> None:
    with pytest.raises(SpecError, match="test: 1 problem\n  the document: wanted a mapping"):
        decode(Spec, ["a"], where="test")


def test_a_duration_may_be_nanoseconds() -> None:
    assert decode(Spec, {"clusterName": "a", "timeout": 1_500_000_000}, where="test").value.timeout == timedelta(seconds=1.5)


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*DOCUMENT, "name", "x"]), inner), max_leaves=10
)


@given(documents)
def test_any_document_is_a_spec_or_the_operators_error(document: object) -> None:
    try:
        found = decode(Spec, document, where="test").value
    except SpecError:
        return
    assert isinstance(found, Spec)
