"""JSON as Go's protobuf library reads and writes it: tolerant reading, strict writing; pure.

Go writes lowerCamel keys and int64 as strings, leaves zero values out and varies its white space. It reads snake_case
keys and bare numbers too, and *rejects keys that it does not know*: what we write for Go holds exactly the known ones.
Documents of our own are written the same way, with times as RFC 3339 text in UTC.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from agents.errors import SpecError
from agents.timestamps import format_timestamp, parse_timestamp


@dataclass(frozen=True, slots=True)
class Fields:
    """The members of one JSON object, looked up by lowerCamel name. Missing and null mean the zero value, as in proto3."""

    values: Mapping[str, object]
    #: What the document is called in messages: its key in the store.
    where: str

    def text(self, name: str) -> str:
        """Return a string; "" where it is missing."""
        value = self._get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(name, "a string", value)
        return value

    def integer(self, name: str) -> int:
        """Return a whole number, given as number or text; 0 where it is missing."""
        value = self._get(name)
        if value is None:
            return 0
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value):
            return int(value)
        raise self._wrong(name, "a whole number", value)

    def number(self, name: str) -> float:
        """Return a number; 0 where it is missing."""
        value = self._get(name)
        if value is None:
            return 0.0
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        raise self._wrong(name, "a number", value)

    def flag(self, name: str) -> bool:
        """Return a boolean; False where it is missing."""
        value = self._get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def time(self, name: str) -> datetime | None:
        """Return a time given as RFC 3339 text; None where it is missing or empty."""
        value = self.text(name)
        return parse_timestamp(value, where=f"{self.where}: {name}") if value else None

    def mapping(self, name: str) -> Fields | None:
        """Return an object's fields; None where it is missing."""
        value = self._get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._wrong(name, "an object", value)
        return Fields(value, f"{self.where}: {name}")

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings; empty where it is missing."""
        value = self._get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(name, "a list of strings", value)
        return tuple(str(item) for item in value)

    def mappings(self, name: str) -> tuple[Fields, ...]:
        """Return a list of objects; empty where it is missing."""
        value = self._get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._wrong(name, "a list of objects", value)
        return tuple(Fields(item, f"{self.where}: {name}[{index}]") for index, item in enumerate(value))

    def _get(self, name: str) -> object:
        value = self.values.get(name)
        return self.values.get(_snake(name)) if value is None else value

    def _wrong(self, name: str, wanted: str, found: object) -> SpecError:
        return SpecError(f"{self.where}: {name} is {found!r}, wanted {wanted}")


def parse_object(content: bytes, *, where: str) -> Fields:
    """Return the fields of a JSON object; SpecError that names `where` and the place for anything else."""
    try:
        value: object = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{where} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise SpecError(f"{where} holds {type(value).__name__}, wanted a JSON object")
    return Fields(value, where)


def render_object(members: Iterable[tuple[str, object]]) -> bytes:
    """Return a JSON object of the members that are not zero ("", 0, False, None, empty), in the given order."""
    kept = {name: value for name, value in members if value or (isinstance(value, float) and value != 0.0)}
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def int64(value: int) -> str:
    """Return an int64 as Go writes it in JSON: as text, "" for zero, which is then left out."""
    return str(value) if value else ""


def time_text(value: datetime | None) -> str:
    """Return a time as RFC 3339 in UTC; "" for None."""
    return "" if value is None else format_timestamp(value)


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: "_" + match.group().lower(), name)
