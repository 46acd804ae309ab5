"""From a component's configuration to its command line flags, by the tables of `nodeup.render.flag_tables`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal

from agents.durations import format_go_duration, parse_go_duration
from agents.errors import SpecError
from nodeup.render.flag_tables import FlagField, FlagKind
from nodeup.spec.section import Section

#: Suffixes of Kubernetes quantities, as powers of ten. Source: k8s.io/apimachinery pkg/api/resource/quantity.go.
_DECIMAL_SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
#: The same, as powers of 1024.
_BINARY_SUFFIXES = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))((?:[eE][+-]?[0-9]{1,2})?)([numkMGTPE]|[KMGTPE]i|)")


def flags_of(section: Section, table: Iterable[FlagField]) -> list[str]:
    """Return the flags ("--name=value") of all fields that are set, sorted as texts.

    A field without a value has no flag, except numbers that are not optional: these print as 0, unless the table
    says that 0 is left out. Source: kops pkg/flagbuilder.
    """
    return sorted(flag for field in table for flag in _flags_of_field(section, field))


def joined(flags: Iterable[str]) -> str:
    """Join flags into one line of an environment file; a flag that holds a double quote is quoted whole."""
    return " ".join(_quoted(flag) for flag in flags)


def decimal_of(quantity: str) -> str:
    """Print a Kubernetes quantity as a decimal number that keeps its digits ("600m" is "0.600"); SpecError where it is none."""
    if not quantity:
        return ""
    match = _QUANTITY.fullmatch(quantity)
    if match is None or (match[2] and match[3]):
        raise SpecError(f"wanted a quantity such as 600m, found {quantity!r}")
    number = Decimal(match[1] + match[2])
    if match[3] in _BINARY_SUFFIXES:
        return f"{number * 1024 ** _BINARY_SUFFIXES[match[3]]:f}"
    return f"{number.scaleb(_DECIMAL_SUFFIXES[match[3]]):f}"


def duration_of(section: Section, key: str, default: str = "") -> str:
    """Return a duration in the form in which Go prints it ("60s" is "1m0s"); `default` where there is none, SpecError where it is none."""
    text = section.text(key)
    if not text:
        return default
    try:
        return format_go_duration(parse_go_duration(text))
    except SpecError as error:
        raise _at(section, key, error) from error


def quantity_of(section: Section, key: str) -> str:
    """Return a quantity as a decimal number; "" where there is none, SpecError where it is none."""
    try:
        return decimal_of(section.text(key))
    except SpecError as error:
        raise _at(section, key, error) from error


def _at(section: Section, key: str, error: SpecError) -> SpecError:
    return SpecError(f"{section.path}.{key}: {error}", code="spec-nodeup-config")


def _flags_of_field(section: Section, field: FlagField) -> Iterator[str]:
    if field.kind is FlagKind.REPEATED:
        yield from (f"--{field.flag}={item}" for item in section.texts(field.key))
        return
    text = _text_of(section, field)
    if text not in {"", field.omit}:
        yield f"--{field.flag}={text}"


def _text_of(section: Section, field: FlagField) -> str:
    match field.kind:
        case FlagKind.LIST:
            return ",".join(section.texts(field.key))
        case FlagKind.MAP:
            return ",".join(f"{key}={value}" for key, value in sorted(section.text_map(field.key).items()))
        case FlagKind.QUANTITY:
            return quantity_of(section, field.key)
        case FlagKind.DURATION:
            return duration_of(section, field.key)
        case FlagKind.NUMBER if not field.optional:
            return section.text(field.key, "0")
        case _:
            return section.text(field.key)


def _quoted(flag: str) -> str:
    if '"' not in flag:
        return flag
    escaped = flag.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
