"""From a component's configuration to its command line flags, by the tables of `nodeup.render.flag_tables`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from nodeup.render.flag_tables import FlagField, FlagKind
from nodeup.spec.section import Section

#: Suffixes of Kubernetes quantities, as powers of ten; the binary ones make no sense for rates, which is all we print.
_DECIMAL_SUFFIXES = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12}


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
    """Print a Kubernetes quantity as a decimal number that keeps its digits ("600m" is "0.600")."""
    suffix = quantity[-1:]
    if suffix in _DECIMAL_SUFFIXES:
        return f"{Decimal(quantity[:-1]).scaleb(_DECIMAL_SUFFIXES[suffix]):f}"
    return quantity


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
            return decimal_of(section.text(field.key))
        case FlagKind.NUMBER if not field.optional:
            return section.text(field.key, "0")
        case _:
            return section.text(field.key)


def _quoted(flag: str) -> str:
    if '"' not in flag:
        return flag
    escaped = flag.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
