"""Write TOML in the layout of containerd's configuration, as kops writes it.

Only what such files need: tables of strings, integers, booleans and tables. It is not a general TOML writer: no arrays,
dates or floats. The layout is a compatibility surface (the file's bytes decide whether containerd is restarted): at each
level first the values and then the tables, both by key; a blank line before each header; a level deeper is two spaces
further in; every table gets a header, also one that holds only tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

TomlTree = Mapping[str, "TomlValue"]
TomlValue = str | int | bool | TomlTree

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_INDENT = "  "
_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def render_toml(tree: TomlTree) -> str:
    """Return the text of a configuration file; the same tree gives the same bytes, whatever order it was built in."""
    return "".join(_table_lines(tree, path=()))


def _table_lines(tree: TomlTree, path: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of one table and of the tables below it, without its own header."""
    tables: list[tuple[str, TomlTree]] = []
    for key, value in sorted(tree.items()):
        if isinstance(value, Mapping):
            tables.append((key, value))
        else:
            yield f"{_INDENT * len(path)}{_key(key)} = {_scalar(value)}\n"
    for key, table in tables:
        below = (*path, key)
        yield f"\n{_INDENT * len(path)}[{'.'.join(map(_key, below))}]\n"
        yield from _table_lines(table, below)


def _key(key: str) -> str:
    """Return the key bare where TOML allows it, else quoted."""
    return key if _BARE_KEY.fullmatch(key) else _quoted(key)


def _scalar(value: str | int) -> str:
    """Return a value's text; a bool is tested first, since Python counts it among the integers."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else _quoted(value)


def _quoted(text: str) -> str:
    """Return a basic string: control characters, quotes and backslashes escaped, everything else as it is."""
    return '"' + "".join(_ESCAPES.get(c) or (f"\\u{ord(c):04X}" if ord(c) < 0x20 or ord(c) == 0x7F else c) for c in text) + '"'
