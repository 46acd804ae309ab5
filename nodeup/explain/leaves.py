"""The leaves of a configuration document, and the same document with one of them taken away or changed. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

Path = tuple[str | int, ...]

#: What is appended to texts that are nothing in particular.
MARK = "-explained"
_NUMBER = re.compile(r"(\D*)(\d+)(.*)", re.DOTALL)
_VERSION = re.compile(r"(v?\d+)\.(\d+)\.(\d+(?:[-+].*)?)")
_QUANTITY = re.compile(r"\d+(\.\d+)?[a-zA-Z%]{0,2}")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value without structure of its own: a scalar, a list of scalars, or an empty mapping, whose presence means something."""

    path: Path
    value: object

    @property
    def text(self) -> str:
        """The path as an operator would write it: "KubeletConfig.maxPods", "hooks[0].name"."""
        parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path]
        return "".join(parts).removeprefix(".")


def leaves(document: object, path: Path = ()) -> Iterator[Leaf]:
    """Yield all leaves in the document's order; null is absent, as everywhere."""
    if document is None or (not path and not document):
        return
    if isinstance(document, dict) and document:
        for key, value in document.items():
            yield from leaves(value, (*path, str(key)))
    elif isinstance(document, list) and any(isinstance(item, dict | list) for item in document):
        for index, item in enumerate(document):
            yield from leaves(item, (*path, index))
    else:
        yield Leaf(path, document)


def without(document: object, path: Path) -> object:
    """Return a copy without what is at `path`; only what lies on the way is copied."""
    first, rest = path[0], path[1:]
    if isinstance(document, dict):
        if not rest:
            return {key: value for key, value in document.items() if key != first}
        return {key: without(value, rest) if key == first else value for key, value in document.items()}
    if isinstance(document, list):
        if not rest:
            return [item for index, item in enumerate(document) if index != first]
        return [without(item, rest) if index == first else item for index, item in enumerate(document)]
    return document


def with_value(document: object, path: Path, value: object) -> object:
    """Return a copy with `value` at `path`; missing mappings on the way are made."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(document, list):
        return [with_value(item, rest, value) if index == first else item for index, item in enumerate(document)]
    fields = document if isinstance(document, dict) else {}
    return {**fields, first: with_value(fields.get(first), rest, value)}


def others(value: object) -> tuple[object, ...]:
    """Return other values of the same kind, the likeliest to be taken first: planners refuse what is no address, version or quantity."""
    match value:
        case bool():
            return (not value,)
        case int() | float():
            return (value + 1,)
        case str():
            return tuple(dict.fromkeys((*_other_texts(value), value + MARK)))
        case list():
            # One more item; and other ones in place of the last, for lists of which only some items count.
            return tuple([*value, other] for other in others(value[-1])) if value else (["explained"],)
        case _:
            return ()


def _other_texts(text: str) -> Iterator[str]:
    if text in {"true", "false"}:
        yield "false" if text == "true" else "true"
    elif match := _VERSION.fullmatch(text):
        yield f"{match[1]}.{int(match[2]) + 1}.{match[3]}"
        yield f"{match[1]}.{max(0, int(match[2]) - 1)}.{match[3]}"
    elif _is_network(text):
        yield "fd00:203::/112" if ":" in text else "10.203.0.0/16"
    elif _is_address(text):
        yield "fd00:203::9" if ":" in text else "10.203.0.9"
    elif _QUANTITY.fullmatch(text) and (match := _NUMBER.fullmatch(text)):
        yield f"{match[1]}{int(match[2]) + 1}{match[3]}"


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
