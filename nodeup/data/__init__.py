"""Texts of files that are too long to stand in code: scripts, udev rules, licences.

Their bytes are those that kops writes, so that a node set up by either looks the same to the other.
"""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def data_text(name: str) -> str:
    """Return the text of a file of this package; part of the program, so reading it is no observation of the machine."""
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
