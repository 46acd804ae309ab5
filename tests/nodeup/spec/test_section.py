"""Reading typed values out of a configuration document."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import SpecError
from nodeup.spec.section import Section


def test_keys_are_found_exactly_before_they_are_found_in_another_case() -> None:
    section = Section("", {"clusterdns": "other", "clusterDNS": "exact"})
    assert section.text("clusterDNS") == "exact"
    assert section.text("CLUSTERDNS") == "other"


def test_null_counts_as_absent() -> None:
    section = Section("", {"KubeProxy": None})
    assert not section.has("KubeProxy")
    assert section.optional("KubeProxy") is None
    assert section.text("KubeProxy", "default") == "default"


def test_an_empty_mapping_is_not_an_absent_one() -> None:
    section = Section("", {"calico": {}})
    assert section.optional("calico") is not None
    assert section.has("calico")


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (3, "3"), (0.5, "0.5"), (1234.5678, "1234.5678"), (1e6, "1e+06"), ("x", "x")]
)
def test_scalars_become_the_text_that_go_prints(value: object, text: str) -> None:
    assert Section("", {"key": value}).text("key") == text


def test_a_wrong_value_is_named_with_its_path() -> None:
    section = Section("KubeletConfig", {"maxPods": "many"})
    with pytest.raises(SpecError, match=r"KubeletConfig\.maxPods: wanted a whole number, found str 'many'"):
        section.number("maxPods")


def test_true_is_not_a_number() -> None:
    with pytest.raises(SpecError):
        Section("", {"port": True}).number("port")


def test_changing_a_field_replaces_it_in_any_spelling_and_none_takes_it_away() -> None:
    section = Section("", {"ProxyMode": "iptables", "master": "x", "other": 1})
    changed = section.with_fields({"proxyMode": "nftables", "master": None})
    assert changed.fields == {"other": 1, "proxyMode": "nftables"}
    assert section.fields == {"ProxyMode": "iptables", "master": "x", "other": 1}


@given(st.dictionaries(st.text(min_size=1), st.integers() | st.text() | st.booleans()))
def test_every_written_key_is_found_with_its_own_value(document: dict[str, object]) -> None:
    section = Section("", document)
    assert all(section.raw(key) == value for key, value in document.items())
