"""Whatever is wrong in a configuration, there is a plan, or one error that says what is wrong; never anything else."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agents.documents import load_yaml
from agents.errors import NotFoundError, SpecError
from nodeup.facts import Facts
from nodeup.planners import plan
from nodeup.planners.context import Profile
from nodeup.spec.boot import decode_boot_config
from nodeup.spec.node import NodeSpec, decode_node_spec
from tests.conformance.corpus import Case, cases
from tests.conformance.mutations import UNKNOWN_FIELD, VALUES, Change, Path, at, changed, paths, spelt

CASES = tuple(case for case in cases() if not case.builder)

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not CASES, reason="no conformance corpus: set KOPS_CONFORMANCE_CORPUS to its corpus.tar.xz or its directory"),
]

#: Mappings whose keys are names, and whose values are lists.
FREE = frozenset({"Assets", "images", "registryMirrors"})


@dataclass(frozen=True, slots=True)
class Input:
    """A case, read once."""

    boot: object
    config: object
    spec: NodeSpec
    facts: Facts
    #: Of everything in both documents, after "boot" or "config"; and of the mappings alone.
    places: tuple[Path, ...]
    mappings: tuple[Path, ...]


@functools.cache
def _input(case: Case) -> Input:
    boot, config = (load_yaml((case.directory / name).read_bytes(), where=name) for name in ("boot.yaml", "nodeupconfig.yaml"))
    places = tuple(("boot", *path) for path in paths(boot)) + tuple(("config", *path) for path in paths(config))
    documents = {"boot": boot, "config": config}
    mappings = tuple(place for place in places if isinstance(at(documents, place), dict))
    return Input(boot, config, case.spec(), case.facts(), places, mappings)


def _spec(given: Input, place: Path, change: object) -> NodeSpec:
    document, *path = place
    boot = changed(given.boot, tuple(path), change) if document == "boot" else given.boot
    config = changed(given.config, tuple(path), change) if document == "config" else given.config
    spec = decode_node_spec(config, decode_boot_config(boot, where="boot.yaml"), where="nodeupconfig.yaml")
    return spec.with_material(keysets=given.spec.keysets, secrets=given.spec.secrets, manifests=given.spec.manifests)


@settings(max_examples=400, deadline=None)
@given(data=st.data(), change=st.sampled_from([Change.DROP, *VALUES]))
def test_one_wrong_value_is_a_plan_or_one_error_that_says_what_and_where(data: st.DataObject, change: object) -> None:
    given_input = _input(data.draw(st.sampled_from(CASES)))
    place = data.draw(st.sampled_from(given_input.places))
    problem = _problem(given_input, place, change)
    if isinstance(problem, NotFoundError):
        # A name of a keyset, of a key in it or of a manifest, changed to one that does not exist.
        assert str(problem).startswith(("keyset ", "manifest "))
    elif problem is not None:
        assert len(str(problem).split()) > 4, problem


def _problem(given_input: Input, place: Path, change: object) -> SpecError | NotFoundError | None:
    try:
        spec = _spec(given_input, place, change)
        for profile in Profile:
            plan(spec, given_input.facts, profile)
    except (SpecError, NotFoundError) as error:
        return error
    return None


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_field_of_a_newer_kops_is_reported_and_changes_nothing(data: st.DataObject) -> None:
    given_input = _input(data.draw(st.sampled_from(CASES)))
    place = data.draw(st.sampled_from(given_input.mappings))
    # Mappings with free keys take any; there the field is no stranger, or its value is wrong.
    assume(not FREE & set(place))
    spec = _spec(given_input, place, Change.UNKNOWN)
    assume(spec.unknown_fields)
    assert spec.unknown_fields == (f"{spelt(place[1:])}.{UNKNOWN_FIELD}",)
    for profile in Profile:
        assert plan(spec, given_input.facts, profile) == plan(given_input.spec, given_input.facts, profile)
