"""Which part of a graph `apply --only` runs, and what of the rest it should be told of; pure.

What is named is done, with what makes its bytes, owns it or is the directory above it. Other dependencies (a unit waits for all
files) are not followed: they would be the whole plan again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from agents.errors import SpecError
from nodeup.engine.graph import FOLLOWED_RULES, Graph, Step

#: What the words for kinds mean, as the kind in a resource's id. A kind of obsolete things is only run when it is named.
KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "files": ("file", "directory", "symlink", "archive", "image-files", "hosts"),
        "services": ("unit",),
        "units": ("unit",),
        "packages": ("packages", "apt-source"),
        "certificates": ("certificate", "bootstrap", "kubeconfig"),
        "images": ("image", "image-archive"),
        "assets": ("asset",),
        "mounts": ("bind-mount", "volume"),
        "users": ("user",),
        "obsolete": ("former", "former-unit"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A part of a graph."""

    graph: Graph
    #: What chosen steps wait for in a whole run, and is not run now: "<dependency>", with the step that waits for it.
    unfollowed: tuple[tuple[str, str], ...]


def choose(graph: Graph, words: Sequence[str]) -> Choice:
    """Return the part that `words` name: kinds, ids, paths or parts of names; SpecError for a word that names nothing."""
    named: dict[str, None] = {}
    for word in words:
        found = _named(graph, word)
        if not found:
            kinds = ", ".join(KINDS)
            raise SpecError(f"--only {word}: nothing in the plan of this node has that name; kinds are {kinds}", code="only")
        named.update(dict.fromkeys(found))
    chosen = set(named)
    waiting = list(named)
    while waiting:
        for dependency in graph.dependencies[waiting.pop()]:
            if dependency.rule in FOLLOWED_RULES and dependency.on not in chosen:
                chosen.add(dependency.on)
                waiting.append(dependency.on)
    steps = tuple(step for step in graph.steps if step.id in chosen)
    dependencies = {step.id: tuple(d for d in graph.dependencies[step.id] if d.on in chosen) for step in steps}
    unfollowed = {d.on: step.id for step in reversed(steps) for d in graph.dependencies[step.id] if d.on not in chosen}
    return Choice(graph=Graph(steps=steps, dependencies=dependencies), unfollowed=tuple(sorted(unfollowed.items())))


def _named(graph: Graph, word: str) -> list[str]:
    if word in KINDS:
        return [step.id for step in graph.steps if step.id.partition(":")[0] in KINDS[word]] or _none_of_a_kind(word)
    exact = [step.id for step in graph.steps if word in {step.id, _name(step)}]
    return exact or [step.id for step in graph.steps if word in step.id and not step.id.startswith(("former:", "former-unit:"))]


def _name(step: Step) -> str:
    return step.id.partition(":")[2]


def _none_of_a_kind(word: str) -> list[str]:
    raise SpecError(f"--only {word}: the plan of this node has none", code="only")
