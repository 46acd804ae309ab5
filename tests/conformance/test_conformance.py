"""What our planners make of kops' own inputs, compared with what kops made of them."""

from __future__ import annotations

import pytest

from nodeup.planners import planned
from nodeup.planners.table import PLANNERS
from tests.conformance.compare import rules
from tests.conformance.corpus import Case, cases
from tests.conformance.dump import documents
from tests.conformance.run import compare_case, context_of_case


def _groups() -> dict[str, tuple[Case, ...]]:
    groups: dict[str, list[Case]] = {}
    for case in cases():
        groups.setdefault("/".join(case.name.split("/")[:2]), []).append(case)
    return {name: tuple(found) for name, found in groups.items()}


GROUPS = _groups()

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not GROUPS, reason="no conformance corpus: set KOPS_CONFORMANCE_CORPUS to its corpus.tar.xz or its directory"),
]


@pytest.mark.parametrize("group", GROUPS)
def test_plans_are_what_kops_makes(group: str) -> None:
    intended = rules()
    found = [
        f"{case.name}: {difference.key} {difference.field}: {difference.actual!r:.200}, expected {difference.expected!r:.200}"
        for case in GROUPS[group]
        for difference in compare_case(case, intended=intended).differences
    ]
    assert not found, "\n".join(found[:20])


@pytest.mark.parametrize("group", GROUPS)
def test_no_field_of_a_configuration_is_unknown(group: str) -> None:
    assert {field for case in GROUPS[group] for field in case.spec().unknown_fields} == set()


def test_every_intended_difference_still_occurs() -> None:
    used = {rule for case in cases() for rule, _ in compare_case(case, intended=rules()).intended}
    assert [rule for rule in rules() if rule not in used and not rule.reason.startswith("not in this corpus")] == []


def test_planning_twice_gives_the_same() -> None:
    case = next(case for case in cases() if case.name.startswith("cases/minimal-1.36/master"))
    context = context_of_case(case)
    once, again = (planned(context, PLANNERS) for _ in range(2))
    assert once == again
    assert documents(resource for _, resource in once) == documents(resource for _, resource in again)
