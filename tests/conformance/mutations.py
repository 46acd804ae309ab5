"""Documents with one thing wrong in them: what a hand, an older kops or a newer one could have written."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from enum import Enum

Path = tuple[str | int, ...]


class Change(Enum):
    """Changes that are not a value."""

    DROP = "drop"
    #: Put a field into a mapping that no version of kops has.
    UNKNOWN = "unknown"


UNKNOWN_FIELD = "fieldOfTheFuture"

#: Values of every type, and texts that are no address, no version, no number and no path.
VALUES: tuple[object, ...] = (
    None, "", 0, -1, True, False, 1.5, "abc", "a,b=c", [], {}, [1], ["x"], {"a": "b"}, [[]], [{}], [None], "::", "1.2.3.4/99", "/", ".",
    "é", "99999999999", "12m", {"enabled": True}, {"enabled": None},
)  # fmt: skip


def paths(document: object, path: Path = ()) -> Iterator[Path]:
    """Yield the place of everything in a document, but that of the document itself."""
    entries: Iterator[tuple[str | int, object]]
    match document:
        case dict():
            entries = iter(document.items())
        case list():
            entries = iter(enumerate(document))
        case _:
            return
    for key, value in entries:
        yield (*path, key)
        yield from paths(value, (*path, key))


def at(document: object, path: Path) -> object:
    """Return what is at a place."""
    for key in path:
        document = _child(document, key)
    return document


def changed(document: object, path: Path, change: object) -> object:
    """Return a copy of the document with one change."""
    result = copy.deepcopy(document)
    *above, last = path
    place = at(result, tuple(above))
    match change:
        case Change.DROP:
            _remove(place, last)
        case Change.UNKNOWN:
            found = _child(place, last)
            if isinstance(found, dict):
                found[UNKNOWN_FIELD] = 1
        case _:
            _put(place, last, change)
    return result


def spelt(path: Path) -> str:
    """Return a path as messages spell it: "Hooks[0].manifest"."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def _child(place: object, key: str | int) -> object:
    assert isinstance(place, dict | list)
    child: object = place[key]  # type: ignore[index]
    return child


def _remove(place: object, key: str | int) -> None:
    assert isinstance(place, dict | list)
    del place[key]  # type: ignore[arg-type]


def _put(place: object, key: str | int, value: object) -> None:
    assert isinstance(place, dict | list)
    place[key] = value  # type: ignore[index]
