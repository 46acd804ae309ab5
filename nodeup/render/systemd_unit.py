"""Write systemd unit files, and the command lines in them.

It knows the file format (systemd.syntax(7)), not what a unit should say; whether a unit is enabled or running is the
concern of `nodeup.resources.unit`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: The unit types of systemd.unit(5). A name that ends in one of them is complete.
UNIT_SUFFIXES = (
    ".service",
    ".socket",
    ".device",
    ".mount",
    ".automount",
    ".swap",
    ".target",
    ".path",
    ".timer",
    ".snapshot",
    ".slice",
    ".scope",
)

_WHITESPACE = re.compile(r"\s")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSection:
    """One section of a unit file."""

    name: str
    #: (key, value) in file order. A key may repeat: systemd adds the values up, and an empty value clears what stood before.
    settings: tuple[tuple[str, str], ...] = ()
    #: Text an operator wrote, taken over verbatim before the settings.
    verbatim: str = ""


def render_unit(*sections: UnitSection) -> str:
    """Return the unit file: the sections in the given order, with a blank line between them.

    Verbatim text that does not end in a newline is left so at the end of the file, as kops leaves it.
    """
    return "\n".join(_render_section(section) for section in sections)


def _render_section(section: UnitSection) -> str:
    return f"[{section.name}]\n{section.verbatim}" + "".join(f"{key}={value}\n" for key, value in section.settings)


def escape_command(argv: Sequence[str]) -> str:
    """Return argv as one command line, as kops escapes it.

    Backslashes and both quotes get a backslash, arguments with white space are put in double quotes. Specifiers (%h) and
    variables ($HOME) are left alone: operators of kops use both in hooks, and systemd expands them.
    """
    return " ".join(_escape_argument(argument) for argument in argv)


def _escape_argument(argument: str) -> str:
    escaped = re.sub(r"([\\\"'])", r"\\\1", argument)
    return f'"{escaped}"' if _WHITESPACE.search(argument) else escaped


def unit_name(name: str) -> str:
    """Return the name with ".service" added, unless it already ends in a unit suffix."""
    return name if name.endswith(UNIT_SUFFIXES) else f"{name}.service"
