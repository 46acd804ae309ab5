"""Texts of files that are too long to stand in code: scripts, udev rules, licences.

Their bytes are those that kops writes, so that a node set up by either looks the same to the other.
"""

from __future__ import annotations

import pkgutil
from functools import cache

from agents.errors import InvariantError


@cache
def data_text(name: str) -> str:
    """Return the text of a file of this package; part of the program, so reading it is no observation of the machine."""
    content = pkgutil.get_data(__name__, name)
    if content is None:
        raise InvariantError(f"nodeup was installed without its data file {name}")
    return content.decode()
