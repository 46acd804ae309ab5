"""Pieces that several planners are made of: texts as contents, and units that are to run."""

from __future__ import annotations

from nodeup.resources.content import Literal
from nodeup.resources.file import Directory
from nodeup.resources.unit import Unit


def literal(text: str) -> Literal:
    """Return a text as a file's content."""
    return Literal(text.encode())


def directory(path: str) -> Directory:
    """Return a directory that everybody may enter and only root may change."""
    return Directory(path=path, mode=0o755)


def running_unit(name: str, definition: str | None = None, *, restart_on: tuple[str, ...] = (), smart_restart: bool = True) -> Unit:
    """Return a unit that is enabled and runs; without a definition it is one that a package brought."""
    return Unit(
        name=name,
        definition=definition,
        enabled=True,
        running=True,
        restart_on=restart_on,
        manage_state=True,
        smart_restart=smart_restart,
    )
