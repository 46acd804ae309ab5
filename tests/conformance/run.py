"""Compare plans with kops' tasks and print what differs.

    python -m tests.conformance.run [CASE_GLOB] [--builder KubeletBuilder] [--lines 12] [--summary] [--keep-differences] [--write DIR]

CASE_GLOB matches case names ("cases/minimal-1.36/*"; "*" crosses "/"). With --builder only the tasks of that builder are
compared, with our planner of the same name. --keep-differences shows intended differences too. --write also writes our
dumps, as DIR/<case>/tasks.yaml, in the form of kops' goldens: the corpus' own compare.py takes them.
"""

from __future__ import annotations

import argparse
import collections
import difflib
import fnmatch
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from agents.documents import dump_yaml
from agents.errors import AgentError
from nodeup.assets.catalog import Catalog
from nodeup.planners import context_of, planned
from nodeup.planners.context import PlanContext, Profile
from nodeup.planners.table import PLANNERS
from nodeup.resources.content import FromAsset
from nodeup.resources.kinds import AnyResource
from tests.conformance.compare import Difference, Rule, compare, rules
from tests.conformance.corpus import Case, cases
from tests.conformance.dump import Dumped, documents, key_of

#: The builder name of goldens that show only a part of what KubeletBuilder makes.
GOLDEN_SUBSET = "KubeletBuilder (golden subset)"

_OFTEN_MISSING = ("etcd-clients-ca", "apiserver-aggregator-ca")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one case: differences left after the intended ones, and the builder of each task."""

    case: Case
    differences: tuple[Difference, ...]
    intended: tuple[tuple[Rule, Difference], ...]
    builders: dict[str, str]
    tasks: int
    #: Our documents, by kops' keys.
    actual: dict[str, Dumped]


def compare_case(case: Case, *, builder: str = "", intended: tuple[Rule, ...] = ()) -> Outcome:
    """Plan a case and compare it; `builder` restricts both sides."""
    context = context_of_case(case)
    wanted = builder or case.builder.partition(" ")[0]
    alone = case.builder.partition(" ")[0]
    pairs = planned(context, [planner for planner in PLANNERS if alone in {"", planner.builder}])
    made_by = {resource.id: name for name, resource in pairs}
    actual = documents(resource for _, resource in pairs)
    keys = _keys_by_id(pairs)
    if wanted:
        actual = {key: dumped for key, dumped in actual.items() if made_by[keys[key]] == wanted}
    expected = {key: task for key, task in case.expected().items() if not builder or task.builder.partition(" ")[0] == builder}
    if case.builder == GOLDEN_SUBSET:
        actual = {key: dumped for key, dumped in actual.items() if key in expected}
    found = compare(actual, expected)
    left, covered = [], []
    for difference in found:
        rule = next((rule for rule in intended if rule.covers(case.name, difference)), None)
        if rule is None:
            left.append(difference)
        else:
            covered.append((rule, difference))
    builders = {key: made_by[keys[key]] for key in actual} | {key: task.builder for key, task in expected.items()}
    return Outcome(case, tuple(left), tuple(covered), builders, len(expected), actual)


def context_of_case(case: Case) -> PlanContext:
    """Return what planners are given for a case."""
    spec = case.spec()
    if case.builder:
        # kops' tests of single builders have no secret store.
        spec = replace(spec, config=spec.config.with_fields({"configStore": None}))
    if case.builder == "KubeAPIServerBuilder":
        # Neither have they these two authorities; kops then writes empty files.
        spec = replace(
            spec,
            certificate_authorities=dict.fromkeys(_OFTEN_MISSING, b"") | dict(spec.certificate_authorities),
            keypair_ids=dict.fromkeys(_OFTEN_MISSING, "") | dict(spec.keypair_ids),
        )
    context = context_of(spec, case.facts(), Profile.KOPS, members=case.members())
    golden = tuple(FromAsset(str(asset["key"]), str(asset["path"])) for asset in case.golden_assets())
    if case.builder == GOLDEN_SUBSET:
        # The files that the golden leaves out need these.
        golden = tuple(FromAsset(key, key) for key in ("kubelet", "ecr-credential-provider-linux-amd64"))
    return replace(context, catalog=_GivenCatalog(sources=(), members=(), given=golden)) if golden else context


@dataclass(frozen=True, slots=True, kw_only=True)
class _GivenCatalog(Catalog):
    """The asset store of one of kops' tests, whose keys and paths are made up."""

    given: tuple[FromAsset, ...]

    @property
    def files(self) -> tuple[FromAsset, ...]:
        return self.given


def _keys_by_id(pairs: tuple[tuple[str, AnyResource], ...]) -> dict[str, str]:
    return {key_of(resource): resource.id for _, resource in pairs if key_of(resource)}


def _write(outcome: Outcome, directory: Path) -> None:
    path = directory / outcome.case.name / "tasks.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("---\n".join(dump_yaml(outcome.actual[key].document) for key in sorted(outcome.actual)))


def _lines(difference: Difference, limit: int) -> Iterator[str]:
    if not difference.field:
        yield f"  {difference.actual:8} {difference.key}"
        return
    actual, expected = difference.actual, difference.expected
    yield f"  differs  {difference.key}  {difference.field}"
    if _is_long(actual) and _is_long(expected):
        changes = difflib.unified_diff(_split(expected), _split(actual), "expected", "actual", lineterm="", n=1)
        yield from (f"      {line}" for line in list(changes)[2 : 2 + limit])
    else:
        yield f"      expected {expected!r:.300}"
        yield f"      actual   {actual!r:.300}"


def _is_long(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and "\n" in value)


def _split(value: object) -> list[str]:
    return value.splitlines() if isinstance(value, str) else [repr(item) for item in value] if isinstance(value, list) else [repr(value)]


def main() -> int:  # noqa: C901, PLR0912 - a report is a list of small decisions
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", default="*")
    parser.add_argument("--builder", default="")
    parser.add_argument("--lines", type=int, default=12)
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--keep-differences", action="store_true")
    parser.add_argument("--write", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    intended = () if arguments.keep_differences else rules()
    equal, total = collections.Counter[str](), collections.Counter[str]()
    by_builder, kinds = collections.Counter[str](), collections.Counter[str]()
    for case in cases():
        if not fnmatch.fnmatchcase(case.name, arguments.case):
            continue
        if arguments.builder and case.builder and case.builder.partition(" ")[0] != arguments.builder:
            continue
        group = case.name.split("/")[0]
        total[group] += 1
        try:
            outcome = compare_case(case, builder=arguments.builder, intended=intended)
        except AgentError as error:
            print(f"{case.name}: {type(error).__name__}: {error}")
            continue
        except Exception:  # noqa: BLE001 - a report of all cases is wanted, however many crash
            print(f"{case.name}: {traceback.format_exc(limit=-3)}")
            continue
        if arguments.write:
            _write(outcome, arguments.write)
        equal[group] += not outcome.differences
        for key in {difference.key for difference in outcome.differences}:
            by_builder[outcome.builders[key]] += 1
            kinds[key] += 1
        if outcome.differences and not arguments.summary:
            print(f"{case.name}:")
            for difference in outcome.differences:
                print("\n".join(_lines(difference, arguments.lines)))
    for group in sorted(total):
        print(f"{group}: {equal[group]} of {total[group]} cases equal")
    for builder, count in by_builder.most_common():
        print(f"  {count:6} tasks differ of {builder}")
    if arguments.summary:
        for key, count in kinds.most_common(40):
            print(f"  {count:6} {key}")
    return 0 if equal == total else 1


if __name__ == "__main__":
    sys.exit(main())
