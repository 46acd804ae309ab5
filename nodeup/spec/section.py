"""A typed view on one mapping of a configuration document; the document itself stays as it was written.

Keys are found the way Go's JSON decoder finds them: exactly, else without regard to case. A value that is null counts
as absent. What a value may be is settled by `nodeup.spec.shape` before anything is planned, so that a SpecError from
here means that a field was read which the shape does not describe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agents.documents import as_str
from agents.errors import SpecError


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping and where it stands in its document ("KubeletConfig", "APIServerConfig.API")."""

    path: str
    fields: Mapping[str, object]

    def __bool__(self) -> bool:
        return bool(self.fields)

    def raw(self, key: str) -> object | None:
        """Return a value as decoded; None where the key is absent or null."""
        if key in self.fields:
            return self.fields[key]
        folded = key.casefold()
        return next((value for name, value in self.fields.items() if name.casefold() == folded), None)

    def has(self, key: str) -> bool:
        """Tell whether the key is there with a value other than null."""
        return self.raw(key) is not None

    def text(self, key: str, default: str = "") -> str:
        """Return a text; numbers and truth values are given in the spelling that Go prints."""
        value = self.raw(key)
        return default if value is None else self._as_text(key, value)

    def boolean(self, key: str) -> bool | None:
        """Return true or false, or None where the document says neither."""
        value = self.raw(key)
        if value is None or isinstance(value, bool):
            return value
        raise self._wrong(key, "true or false", value)

    def number(self, key: str) -> int | None:
        """Return a whole number, or None where the document has none."""
        value = self.raw(key)
        if isinstance(value, bool):
            raise self._wrong(key, "a whole number", value)
        if value is None or isinstance(value, int):
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
        raise self._wrong(key, "a whole number", value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; empty where it is absent."""
        value = self.raw(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self._wrong(key, "a list", value)
        return tuple(self._as_text(key, item) for item in value)

    def text_map(self, key: str) -> dict[str, str]:
        """Return a mapping of texts, in the document's order; empty where it is absent."""
        section = self.section(key)
        return {name: section.text(name) for name in section.fields}

    def section(self, key: str) -> Section:
        """Return a mapping; an empty one where it is absent."""
        return self.optional(key) or Section(self._at(key), {})

    def optional(self, key: str) -> Section | None:
        """Return a mapping, or None where it is absent: an empty one may mean something (`calico: {}`)."""
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._wrong(key, "a mapping", value)
        return Section(self._at(key), value)

    def sections(self, key: str) -> tuple[Section, ...]:
        """Return a list of mappings; empty where it is absent."""
        value = self.raw(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self._wrong(key, "a list", value)
        return tuple(self._item(key, index, item) for index, item in enumerate(value))

    def with_fields(self, changes: Mapping[str, object | None]) -> Section:
        """Return a copy in which these keys have these values; None takes a key away."""
        changed = {key.casefold() for key in changes}
        kept = {key: value for key, value in self.fields.items() if key.casefold() not in changed}
        return Section(self.path, kept | {key: value for key, value in changes.items() if value is not None})

    def _item(self, key: str, index: int, item: object) -> Section:
        if not isinstance(item, dict):
            raise self._wrong(f"{key}[{index}]", "a mapping", item)
        return Section(f"{self._at(key)}[{index}]", item)

    def _as_text(self, key: str, value: object) -> str:
        if isinstance(value, str | bool | int | float):
            return as_str(value, where=self._at(key))
        raise self._wrong(key, "a text", value)

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def _wrong(self, key: str, wanted: str, found: object) -> SpecError:
        return SpecError(f"{self._at(key)}: wanted {wanted}, found {type(found).__name__} {found!r:.60}")
