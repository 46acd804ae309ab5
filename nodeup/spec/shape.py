"""What a configuration document may hold, as data, and the check of a whole document against it.

All problems of a document come out at once; fields that the shape does not know are no problem: they are reported, and
stay in the document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum


class Scalar(Enum):
    """The kinds of values that have no fields of their own; the value says what a message calls them."""

    #: Texts; a number or truth value is taken as its spelling, as kops' decoder does.
    TEXT = "a text"
    BOOLEAN = "true or false"
    NUMBER = "a whole number"
    #: Durations ("1m0s") and quantities ("100m"), which may be written as numbers.
    TEXT_OR_NUMBER = "a text or a number"
    ANYTHING = "anything"


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list whose items have this shape."""

    item: Shape


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping with free keys, whose values have this shape."""

    value: Shape


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping with these keys."""

    known: Mapping[str, Shape]


Shape = Scalar | ListOf | MapOf | Fields

TEXTS = ListOf(Scalar.TEXT)
TEXT_MAP = MapOf(Scalar.TEXT)


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check found: problems are sentences, unknown fields are paths; both in document order."""

    problems: tuple[str, ...]
    unknown: tuple[str, ...]


def check(document: object, shape: Shape, *, path: str = "") -> Findings:
    """Compare a document with a shape; null is right everywhere and means absent."""
    found = tuple(_walk(document, shape, path))
    return Findings(
        problems=tuple(text for is_problem, text in found if is_problem),
        unknown=tuple(text for is_problem, text in found if not is_problem),
    )


def _walk(value: object, shape: Shape, path: str) -> Iterator[tuple[bool, str]]:
    if value is None:
        return
    match shape:
        case Scalar():
            if not _is_scalar(value, shape):
                yield _problem(path, shape.value, value)
        case ListOf(item):
            yield from _walk_list(value, item, path)
        case MapOf() | Fields():
            if isinstance(value, dict):
                yield from _walk_mapping(value, shape, path)
            else:
                yield _problem(path, "a mapping", value)


def _walk_list(value: object, item: Shape, path: str) -> Iterator[tuple[bool, str]]:
    if not isinstance(value, list):
        yield _problem(path, "a list", value)
        return
    for index, entry in enumerate(value):
        yield from _walk(entry, item, f"{path}[{index}]")


def _problem(path: str, wanted: str, found: object) -> tuple[bool, str]:
    return True, f"{path or 'document'}: wanted {wanted}, found {type(found).__name__} {found!r:.60}"


def _walk_mapping(value: dict[object, object], shape: MapOf | Fields, path: str) -> Iterator[tuple[bool, str]]:
    for key in value:
        if not isinstance(key, str):
            yield _problem(_join(path, key), "a text as its key", key)
            return
    if isinstance(shape, MapOf):
        for key, entry in value.items():
            yield from _walk(entry, shape.value, _join(path, key))
        return
    by_folded = {name.casefold(): (name, inner) for name, inner in shape.known.items()}
    for key, entry in value.items():
        known = by_folded.get(str(key).casefold())
        if known is None:
            yield False, _join(path, key)
        else:
            yield from _walk(entry, known[1], _join(path, known[0]))


def _is_scalar(value: object, kind: Scalar) -> bool:
    match kind:
        case Scalar.ANYTHING:
            return True
        case Scalar.TEXT:
            return isinstance(value, str | int | float)
        case Scalar.BOOLEAN:
            return isinstance(value, bool)
        case Scalar.NUMBER:
            return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
        case Scalar.TEXT_OR_NUMBER:
            return isinstance(value, str | int | float) and not isinstance(value, bool)


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
