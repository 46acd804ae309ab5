"""Documents to frozen dataclasses: the fields that we use, checked; all problems at once, with paths; what we do not know, reported.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class BootConfig:
        cluster_name: str                                     # "clusterName", "ClusterName": letters count, case does not
        cluster_dns: str = ""                                 # also "clusterDNS"
        instances: tuple[Instance, ...] = ()                  # nested
        kind_of: str = field(default="", metadata={"key": "@type"})

    decoded = decode(BootConfig, document, where="kube_env.yaml")
    decoded.value, decoded.unknown                            # BootConfig(…), ("spec.newField",)

Keys match as in Go's JSON: without regard to case (and to the underscores of our names); the exact spelling wins.
null is a field that is not given. Types: str int float bool bytes (base64) Secret datetime (RFC 3339) timedelta (Go's
"1h30m", or a number of nanoseconds), Enum (by value), dataclasses, X | None, tuple[X, ...], Mapping[str, X], object (kept as it is).
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Generic, TypeVar

from agents.documents import as_bool, as_int, as_list, as_mapping, as_str, describe
from agents.durations import parse_go_duration
from agents.errors import InvariantError, SpecError
from agents.secret import Secret
from agents.timestamps import parse_timestamp

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded(Generic[T]):
    """A value, and the paths of the keys that its type does not know."""

    value: T
    unknown: tuple[str, ...]


def decode(kind: type[T], document: object, *, where: str) -> Decoded[T]:
    """Return `document` as a `kind`; SpecError that lists everything that is wrong, one problem per line."""
    decoder = _Decoder()
    value = decoder.value(kind, document, path="")
    if decoder.problems:
        listed = "\n".join(f"  {problem}" for problem in decoder.problems)
        count = len(decoder.problems)
        raise SpecError(f"{where}: {count} problem{'s' if count > 1 else ''}\n{listed}", code="decode")
    return Decoded(value=typing.cast("T", value), unknown=tuple(decoder.unknown))


#: What stands for a value that could not be decoded; it never leaves this module, because there is a problem then.
_BROKEN = object()


class _Decoder:
    def __init__(self) -> None:
        self.problems: list[str] = []
        self.unknown: list[str] = []

    def value(self, kind: object, document: object, *, path: str) -> object:
        """Return `document` as a `kind`; notes a problem and returns _BROKEN where it is not one."""
        try:
            return self._value(kind, document, path)
        except SpecError as error:
            self.problems.append(str(error))
            return _BROKEN

    def _value(self, kind: object, document: object, path: str) -> object:
        if kind is object:
            return document
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            return self._dataclass(kind, as_mapping(document, where=_shown(path)), path)
        origin = typing.get_origin(kind)
        if origin in {types.UnionType, typing.Union}:
            return self._optional(kind, document, path)
        if origin is tuple:
            (item_kind, *_) = typing.get_args(kind)
            rows = as_list(document, where=_shown(path))
            return tuple(self.value(item_kind, row, path=f"{path}[{index}]") for index, row in enumerate(rows))
        if origin is Mapping or origin is dict:
            _, value_kind = typing.get_args(kind)
            mapping = as_mapping(document, where=_shown(path))
            return {key: self.value(value_kind, value, path=_below(path, key)) for key, value in mapping.items()}
        return _scalar(kind, document, _shown(path))

    def _optional(self, kind: object, document: object, path: str) -> object:
        alternatives = [one for one in typing.get_args(kind) if one is not type(None)]
        if len(alternatives) != 1:
            raise InvariantError(f"decode() knows only unions with None, found {kind}")
        return None if document is None else self._value(alternatives[0], document, path)

    def _dataclass(self, kind: type, mapping: Mapping[str, object], path: str) -> object:
        fields = _fields_of(kind)
        found: dict[str, tuple[bool, object]] = {}
        for key, document in mapping.items():
            spec = fields.get(_folded(key))
            if spec is None:
                self.unknown.append(_below(path, key))
            elif document is not None and not (spec.name in found and found[spec.name][0]):
                found[spec.name] = (key == spec.key, self.value(spec.kind, document, path=_below(path, key)))
        missing = [spec for spec in fields.values() if spec.required and spec.name not in found]
        for spec in missing:
            self.problems.append(f"{_below(path, spec.key)}: missing")
        if missing or any(value is _BROKEN for _, value in found.values()):
            return _BROKEN
        build: Callable[..., object] = kind
        return build(**{name: value for name, (_, value) in found.items()})


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    #: The document's key in its usual spelling, for messages.
    key: str
    kind: object
    required: bool


@functools.cache
def _fields_of(kind: type) -> Mapping[str, _Field]:
    hints = typing.get_type_hints(kind)
    fields: dict[str, _Field] = {}
    for one in dataclasses.fields(kind):
        first, *rest = one.name.split("_")
        key = str(one.metadata.get("key", first + "".join(word.capitalize() for word in rest)))
        required = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        fields[_folded(key)] = _Field(one.name, key, hints[one.name], required)
    return fields


def _scalar(kind: object, document: object, where: str) -> object:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind, document, where)
    reader = _SCALARS.get(kind)
    if reader is None:
        raise InvariantError(f"decode() does not know the type {kind} (at {where})")
    return reader(document, where)


def _enum(kind: type[Enum], document: object, where: str) -> Enum:
    for member in kind:
        if member.value == document:
            return member
    raise SpecError(f"{where}: wanted one of {', '.join(str(member.value) for member in kind)}, found {describe(document)}")


def _float(document: object, where: str) -> float:
    if isinstance(document, int | float) and not isinstance(document, bool):
        return float(document)
    raise SpecError(f"{where}: wanted a number, found {describe(document)}")


def _bytes(document: object, where: str) -> bytes:
    try:
        return base64.b64decode("".join(as_str(document, where=where).split()), validate=True)
    except (binascii.Error, ValueError):
        # Without "from": it may be a secret.
        raise SpecError(f"{where}: wanted base64, found something else") from None


def _duration(document: object, where: str) -> timedelta:
    if isinstance(document, int) and not isinstance(document, bool):
        return timedelta(microseconds=document / 1000)
    try:
        return parse_go_duration(as_str(document, where=where))
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from error


_SCALARS: Mapping[object, Callable[[object, str], object]] = {
    str: lambda document, where: as_str(document, where=where),
    int: lambda document, where: as_int(document, where=where),
    bool: lambda document, where: as_bool(document, where=where),
    float: _float,
    bytes: _bytes,
    Secret: lambda document, where: Secret(as_str(document, where=where)),
    datetime: lambda document, where: parse_timestamp(as_str(document, where=where), where=where),
    timedelta: _duration,
}


def _folded(key: str) -> str:
    return key.replace("_", "").lower()


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shown(path: str) -> str:
    return path or "the document"
