"""Our graph keeps every order that kops' has: what its FindTaskDependencies said for each case is in our paths."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest

from nodeup.engine.graph import Graph, build_graph
from nodeup.planners import planned
from nodeup.planners.table import PLANNERS
from nodeup.resources.package import Package
from tests.conformance.corpus import Case, cases
from tests.conformance.dump import key_of
from tests.conformance.run import context_of_case

pytestmark = pytest.mark.conformance

GROUPS = {name: tuple(found) for name, found in itertools.groupby(cases(), key=lambda case: case.name.split("/")[0])}


#: kops makes every service wait for these by its rule for kinds that nobody thought of. We do not: a discovery service in
#: the Internet that does not answer must not keep containerd from starting.
NOT_KEPT = frozenset({"DiscoveryServiceRegisterTask"})


def kops_order(case: Case) -> Iterator[tuple[str, str]]:
    """Yield (later, earlier) of kops' direct dependencies, as keys."""
    rows = [
        json.loads(line.removeprefix("- ")) for line in (case.directory / "graph.yaml").read_text().splitlines() if line.startswith("- ")
    ]
    for row in rows:
        yield from ((row["key"], rows[position]["key"]) for position in row["deps"])


def everything_before(graph: Graph) -> dict[str, frozenset[str]]:
    """Return all that comes before each step, directly or not."""
    found: dict[str, frozenset[str]] = {}
    for step in graph.steps:
        direct = [dependency.on for dependency in graph.dependencies[step.id]]
        found[step.id] = frozenset(direct).union(*(found[name] for name in direct))
    return found


def missing_order(case: Case) -> list[str]:
    pairs = planned(context_of_case(case), PLANNERS)
    # All packages are one step of ours.
    ids = {key_of(one): "packages:all" if isinstance(one, Package) else one.id for _, one in pairs if key_of(one)}
    before = everything_before(build_graph([one for _, one in pairs]))
    known = [
        (later, earlier) for later, earlier in kops_order(case) if later in ids and earlier in ids and earlier.split("/")[0] not in NOT_KEPT
    ]
    return [f"{case.name}: {later} after {earlier}" for later, earlier in known if ids[earlier] not in before[ids[later]] | {ids[later]}]


@pytest.mark.parametrize("group", GROUPS)
def test_every_order_of_kops_is_kept(group: str) -> None:
    found = [line for case in GROUPS[group] if not case.builder for line in missing_order(case)]

    assert not found, f"{len(found)}, the first: " + "\n".join(found[:20])
