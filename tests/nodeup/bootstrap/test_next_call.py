from __future__ import annotations

import itertools

import pytest

from nodeup.bootstrap.next_call import Call, Kept, NextCall, next_call

EVERYTHING = [
    Kept(has_copy=a, is_pinned=b, knows_certificates=c, has_good_certificates=d, has_aging_certificates=e)
    for a, b, c, d, e in itertools.product((False, True), repeat=5)
]


def kept(*, copy: bool = True, pinned: bool = True, known: bool = True, good: bool = True, aging: bool = False) -> Kept:
    return Kept(has_copy=copy, is_pinned=pinned, knows_certificates=known, has_good_certificates=good, has_aging_certificates=aging)


@pytest.mark.parametrize(
    ("found", "call"),
    [
        (kept(), Call.NONE),
        (kept(good=False), Call.NONE),
        (kept(aging=True), Call.CONFIG_AND_CERTIFICATES),
        (kept(pinned=False), Call.CONFIG),
        (kept(pinned=False, good=False), Call.CONFIG_AND_CERTIFICATES),
        (kept(pinned=False, aging=True), Call.CONFIG_AND_CERTIFICATES),
        (kept(pinned=False, good=False, known=False), Call.CONFIG),
    ],
)
def test_the_table_holds(found: Kept, call: Call) -> None:
    assert next_call(found) == NextCall(call=call, must=False)


@pytest.mark.parametrize("found", EVERYTHING, ids=str)
def test_a_node_waits_exactly_where_it_has_no_copy(found: Kept) -> None:
    assert next_call(found).must is not found.has_copy


@pytest.mark.parametrize("found", EVERYTHING, ids=str)
def test_certificates_are_never_asked_for_where_it_is_not_known_which(found: Kept) -> None:
    assert found.knows_certificates or next_call(found).call is not Call.CONFIG_AND_CERTIFICATES


@pytest.mark.parametrize("found", EVERYTHING, ids=str)
def test_a_pinned_copy_with_good_young_certificates_asks_for_nothing(found: Kept) -> None:
    if found.has_copy and found.is_pinned and found.has_good_certificates and not found.has_aging_certificates:
        assert next_call(found).call is Call.NONE
