"""YAML as Go reads and writes it: sigs.k8s.io/yaml on top of yaml.v2. Use it through `agents.documents`.

PyYAML's C parser and emitter do the syntax. What a plain scalar means is decided here, because stock PyYAML differs
where it hurts: it reads `12:30:45` as 45045, `2001-01-01` as a date, `1e3` as text and `n` as text.

    true   y yes true on        (each also Capitalised and UPPER, "y" and "n" as one letter)
    false  n no false off
    null   ~ null and nothing at all
    int    12  -3  1_000  0x1F  0b11  0755 (octal)  0o755; beyond 64 bits it is a float
    float  1.5  .5  1e3  089 (no octal number, so yaml.v2 takes it for a float)
    text   everything else, including times, dates and base-60 numbers

Mapping keys become text, as in JSON.
"""

from __future__ import annotations

import functools
import logging
import math
import re
from decimal import Decimal

import yaml

log = logging.getLogger(__name__)

Scalar = bool | int | float | str | None
#: Of an untagged scalar: whether it is plain, and whether it is quoted; of a collection only whether it is untagged.
_Implicit = tuple[bool, bool] | bool


def _spellings(*words: str) -> frozenset[str]:
    return frozenset(form for word in words for form in (word, word.capitalize(), word.upper()))


_TRUE = _spellings("y", "yes", "true", "on")
_FALSE = _spellings("n", "no", "false", "off")
_NULL = _spellings("null") | {"", "~"}
_NOT_FINITE = frozenset({".nan", ".NaN", ".NAN"}) | {
    sign + word for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")
}  # fmt: skip
_DIGITS = frozenset("0123456789")
_NUMBER_START = frozenset("+-.0123456789")

#: Characters of the texts whose meaning is remembered: fields' names, flags, versions. Tokens and keys are longer.
_LONGEST_CACHED = 24

_KEY_PARTS = re.compile(r"[0-9]+|.", re.DOTALL)
_INTEGER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
#: What yaml.v2 writes in quotes although it reads it as text, for the sake of YAML 1.1 readers.
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_TIMESTAMP = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}"
    r"([Tt]\d{1,2}:\d{1,2}:\d{1,2}(\.\d+)?(Z|[-+]\d\d:\d\d)|[ ]\d{1,2}:\d{1,2}:\d{1,2}(\.\d+)?)?",
    re.ASCII,
)

_BOOL_TAG, _INT_TAG, _FLOAT_TAG = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_NULL_TAG, _STR_TAG, _MERGE_TAG = "tag:yaml.org,2002:null", "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_MAP_TAG, _SEQ_TAG, _TIMESTAMP_TAG = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:timestamp"


def plain_scalar(text: str) -> Scalar:
    """Return what an unquoted scalar means to yaml.v2; total: what is nothing else is text."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text[0] not in _NUMBER_START:
        return text
    if text in _NOT_FINITE:
        return float(text.replace(".", ""))
    # yaml.v2 drops underscores anywhere in what starts like a number, but not where it starts with the point.
    number = _number(text if text[0] == "." else text.replace("_", ""))
    return text if number is None else number


def _number(text: str) -> int | float | None:
    if match := _INTEGER.fullmatch(text):
        value = _magnitude(match[2])
        if match[1] == "-":
            value = -value
        if -(2**63) <= value < (2**63 if match[1] else 2**64):
            return value
    if _FLOAT.fullmatch(text):
        real = float(text)
        # strconv.ParseFloat reports a range error, and yaml.v2 then takes it for text.
        return real if math.isfinite(real) else None
    return None


def _magnitude(digits: str) -> int:
    if len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567":
        return int(digits, 8)
    return int(digits, 0)


def float_text(value: float) -> str:
    """Return a float as Go's strconv.FormatFloat(v, 'g', -1, 64) does: shortest digits, an exponent from 1e+06 on and below 1e-04."""
    if not math.isfinite(value):
        return {"inf": "+Inf", "-inf": "-Inf"}.get(str(value), "NaN")
    sign, digit_tuple, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, digit_tuple))
    #: How many digits stand before the decimal point; zero or less for a number below 0.1.
    point = len(digits) + int(exponent)
    digits = digits.rstrip("0") or "0"
    text = _with_exponent(digits, point - 1) if value and not -4 <= point - 1 < 6 else _positional(digits, point)
    return f"-{text}" if sign else text


def _with_exponent(digits: str, exponent: int) -> str:
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _positional(digits: str, point: int) -> str:
    if digits == "0":
        return "0"
    if point <= 0:
        return f"0.{'0' * -point}{digits}"
    if point >= len(digits):
        return digits.ljust(point, "0")
    return f"{digits[:point]}.{digits[point:]}"


def scalar_text(value: Scalar) -> str | None:
    """Return the text that Go's YAML takes a scalar for where the field is a string: `8080`, `true`, `1.3` (from 1.30); None for null."""
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return float_text(value)


def _tag_of(value: Scalar) -> str:
    match value:
        case None:
            return _NULL_TAG
        case bool():
            return _BOOL_TAG
        case int():
            return _INT_TAG
        case float():
            return _FLOAT_TAG
        case str():
            return _STR_TAG


def _implicit_tag(text: str) -> str:
    # What is long is seen once, and may be a key: it is not kept.
    return _cached_tag(text) if len(text) <= _LONGEST_CACHED else _tag_of(plain_scalar(text))


@functools.lru_cache(maxsize=4096)
def _cached_tag(text: str) -> str:
    return _MERGE_TAG if text == "<<" else _tag_of(plain_scalar(text))


def _resolve(kind: type[yaml.Node], value: str | None, implicit: _Implicit) -> str:
    """Return the tag of an untagged node."""
    if kind is yaml.ScalarNode:
        plain = implicit[0] if isinstance(implicit, tuple) else implicit
        return _implicit_tag(value or "") if plain else _STR_TAG
    return _SEQ_TAG if kind is yaml.SequenceNode else _MAP_TAG


class GoLoader(yaml.CSafeLoader):
    """PyYAML's C loader with Go's scalars and text keys; a key that stands twice keeps its last value, as in Go, and is logged."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: _Implicit) -> str:
        """Return the tag of a node without one."""
        return _resolve(kind, value, implicit)

    def go_scalar(self, node: yaml.ScalarNode) -> Scalar:
        """Return a scalar's value; a ConstructorError where an explicit tag and the text disagree, or JSON could not hold it."""
        value = plain_scalar(str(node.value))
        if isinstance(value, int) and not isinstance(value, bool) and node.tag == _FLOAT_TAG:
            value = float(value)
        if _tag_of(value) != node.tag or (isinstance(value, float) and not math.isfinite(value)):
            wanted = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(None, None, f"cannot read {node.value!r} as {wanted}", node.start_mark)
        return value

    def go_text(self, node: yaml.ScalarNode) -> str:
        """Return a scalar's text."""
        return str(node.value)

    def go_sequence(self, node: yaml.SequenceNode) -> list[object]:
        """Return a list. No generator, unlike PyYAML's, so that a list that holds itself is an error."""
        return [self.construct_object(item, deep=True) for item in node.value]

    def go_mapping(self, node: yaml.MappingNode) -> dict[str, object]:
        """Return a mapping with text keys, merge keys resolved."""
        explicit = {id(key) for key, _ in node.value}
        self.flatten_mapping(node)
        mapping: dict[str, object] = {}
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key in seen and id(key_node) in explicit:
                log.warning("line %d: key %r stands twice; the last one counts", key_node.start_mark.line + 1, key)
            if id(key_node) in explicit:
                seen.add(key)
            mapping[key] = self.construct_object(value_node, deep=True)
        return mapping

    def _key(self, node: yaml.Node) -> str:
        value = self.construct_object(node, deep=True) if isinstance(node, yaml.ScalarNode) else None
        text = scalar_text(value) if isinstance(value, bool | int | float | str) else None
        if text is None:
            raise yaml.constructor.ConstructorError(None, None, "a mapping's key is text, a number or a boolean", node.start_mark)
        return text


for _tag in (_NULL_TAG, _BOOL_TAG, _INT_TAG, _FLOAT_TAG):
    GoLoader.add_constructor(_tag, GoLoader.go_scalar)
for _tag in (_STR_TAG, _TIMESTAMP_TAG):
    GoLoader.add_constructor(_tag, GoLoader.go_text)
GoLoader.add_constructor(_SEQ_TAG, GoLoader.go_sequence)
GoLoader.add_constructor(_MAP_TAG, GoLoader.go_mapping)


class GoDumper(yaml.CSafeDumper):
    """PyYAML's C dumper with yaml.v2's choice of quotes: literal blocks for several lines, "…" where a reader could misread."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: _Implicit) -> str:
        """Return the tag that a reader would give a node."""
        return _resolve(kind, value, implicit)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 (PyYAML's signature)
        """Write a value that occurs twice out twice."""
        return True

    def go_str(self, text: str) -> yaml.ScalarNode:
        """Return the node of a text in the style that Go would choose."""
        style = None
        if "\n" in text:
            style = "|"
        elif _implicit_tag(text) not in {_STR_TAG, _MERGE_TAG} or _BASE_60.fullmatch(text) or _TIMESTAMP.fullmatch(text):
            style = '"'
        return self.represent_scalar(_STR_TAG, text, style=style)

    def go_float(self, value: float) -> yaml.ScalarNode:
        """Return the node of a number as it comes out of Go's way over JSON: 1000.0 is 1000."""
        whole = value.is_integer() and -(2.0**63) <= value < 2.0**64
        return self.represent_scalar(_INT_TAG, str(int(value))) if whole else self.represent_scalar(_FLOAT_TAG, float_text(value))


GoDumper.add_representer(str, GoDumper.go_str)
GoDumper.add_representer(float, GoDumper.go_float)


def key_order(key: str) -> tuple[tuple[int, int, str], ...]:
    """Return what keys sort by to stand as yaml.v2 puts them: punctuation, then numbers (runs of digits, by value), then letters.

    Where a letter meets a digit inside a number ("2a", "20") yaml.v2's order is no order (2a < 10 < 20 < 2a); ours goes by the number.
    """
    parts: list[tuple[int, int, str]] = []
    for part in _KEY_PARTS.findall(key):
        if part[0] in _DIGITS:
            # Equal numbers that differ in leading zeros are told apart by their text.
            parts.append((1, int(part), part))
        else:
            parts.append((2 if part.isalpha() else 0, 0, part))
    return tuple(parts)
